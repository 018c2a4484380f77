/** `npm run example:fleet`, for as long as it takes to kill one of its servers. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../cli/support.ts';
import { ToolProcess } from '../support/process.ts';
import { skipUnless } from '../support/tools.ts';

const main = join(import.meta.dirname, '..', '..', 'examples', 'fleet', 'main.js');

interface Line {
  readonly event: string;
  readonly [field: string]: unknown;
}

interface Up {
  readonly redis: string;
  readonly folder: string;
  readonly hosts: readonly { readonly name: string; readonly statusUrl: string }[];
}

interface Sight {
  readonly hosts: readonly { readonly isUp: boolean; readonly members: number }[];
  readonly tally: { readonly opened: readonly (readonly number[])[] };
}

test(
  'three servers resume each other’s sessions, also when one is killed, and nothing is left behind',
  skipUnless('redis-server'),
  async () => {
    await using example = new ToolProcess('node', [main, '--rotate', '6s', '--json']);
    await example.until('"step":"server_missed"');
    const folderThere = existsSync((lines(example).find(({ event }) => event === 'up') as unknown as Up).folder);
    assert(folderThere);
    example.signal('SIGINT');
    assert.equal(await example.exited(), 0, example.text);

    const told = lines(example);
    const up = told.find(({ event }) => event === 'up') as unknown as Up;
    assert.deepEqual(
      up.hosts.map(({ name }) => name),
      ['web1', 'web2', 'web3'],
    );
    const sights = told.filter(({ event }) => event === 'sight') as unknown as readonly Sight[];
    assert(sights.some(({ hosts }) => hosts.every(({ members }) => members === 3)));
    const { hosts, tally } = sights.findLast(({ hosts }) => !hosts[1].isUp) as Sight;
    assert.deepEqual(
      hosts.map(({ isUp }) => isUp),
      [true, false, true],
    );
    assert(
      tally.opened.flat().every((count) => count > 0),
      'each opened tickets of each',
    );
    const { full, resumed } = told.at(-1) as unknown as { full: number; resumed: number };
    assert(resumed > full, `${resumed} resumed, ${full} full`);

    assert(!existsSync(up.folder));
    for (const { statusUrl } of up.hosts) {
      await assert.rejects(fetch(statusUrl), `${statusUrl} is gone`);
    }
  },
);

test('without Redis it says how to get it', async () => {
  const { code, stderr } = await run(process.execPath, [main], { env: { PATH: '' } });
  assert.equal(code, 3, stderr);
  assert.match(stderr, /^mayfly: this example needs redis-server or valkey-server[^\n]+apt-get install[^\n]+\n$/);
});

function lines({ text }: ToolProcess): readonly Line[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as Line);
}
