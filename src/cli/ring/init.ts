/** `mayfly ring init`: one identity file for each host of a new fleet. */

import { createIdentityFiles, loadIdentity, nodeProvider } from '../../node/fleet.ts';
import { createOutput } from '../output.ts';
import type { InitFlags } from '../ring.ts';
import { hostOf, refuseExisting, writeNew } from './identity-files.ts';

/** @throws Problem `file`, `usage` */
export function init({ fleetName, identity: paths, json }: InitFlags): void {
  const output = createOutput(json === true);
  const names = paths.map(hostOf);
  refuseExisting(paths);
  const texts = createIdentityFiles(nodeProvider, fleetName, names);
  // What the ring will refuse is refused before anything is written.
  loadIdentity(texts[0]);
  writeNew(paths.map((path, index) => ({ path, text: texts[index], mode: 0o600 })));
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
