/** `mayfly ring init`: one identity file for each host of a new fleet. */

import { closeSync, existsSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { createIdentityFiles, loadIdentity, nodeProvider } from '../../node/fleet.ts';
import { createOutput } from '../output.ts';
import { fileProblem, Problem } from '../problem.ts';
import type { InitFlags } from '../ring.ts';

/** @throws Problem `file`, `usage` */
export function init({ fleetName, identity: paths, json }: InitFlags): void {
  const output = createOutput(json === true);
  const names = paths.map((path) => basename(path, extname(path)));
  const taken = paths.find((path) => existsSync(path));
  if (taken !== undefined) {
    throw new Problem(
      'file',
      `${taken} is there already`,
      'An identity is never written over: remove it, or choose another path.',
    );
  }
  const texts = createIdentityFiles(nodeProvider, fleetName, names);
  // What the ring will refuse is refused before anything is written.
  loadIdentity(texts[0]);
  const written: string[] = [];
  for (const [index, path] of paths.entries()) {
    try {
      const file = openSync(path, 'wx', 0o600);
      written.push(path);
      try {
        writeSync(file, texts[index]);
      } finally {
        closeSync(file);
      }
    } catch (error) {
      for (const half of written) {
        unlinkSync(half);
      }
      throw fileProblem('write', path, error);
    }
  }
  output.event('identities', { fleetName, members: names.map((name, index) => ({ name, file: paths[index] })) });
  output.say(`The fleet ${JSON.stringify(fleetName)} has ${names.length} member${names.length === 1 ? '' : 's'}:`);
  for (const [index, name] of names.entries()) {
    output.say(`  ${name.padEnd(Math.max(...names.map(({ length }) => length)))}  ${paths[index]}`);
  }
  output.say();
  output.say(
    'Bring each file to its host, for the user that serves alone (mode 0600), and remove it here. Then, on each:',
  );
  output.say('  mayfly serve --cert chain.pem --key key.pem --fleet redis://HOST:PORT --identity FILE');
}
