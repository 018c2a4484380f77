/** Generated documents equal what the tables say now; MAYFLY_WRITE_DOCS=1 writes them. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { errorTable } from '../../src/errors.ts';
import { clientTransitions, serverTransitions } from '../../src/handshake/transitions.ts';
import { projectRoot } from '../support/project.ts';
import { renderDocs, renderErrors, renderStateMachine } from './generate-docs.ts';

describe('generated documents', () => {
  for (const [path, expected] of renderDocs()) {
    it(`${path} is what the code says`, () => {
      const file = join(projectRoot, path);
      if (process.env.MAYFLY_WRITE_DOCS === '1') {
        writeFileSync(file, expected);
      }
      const actual = existsSync(file) ? readFileSync(file, 'utf8').replaceAll('\r\n', '\n') : '';
      assert.equal(actual, expected, `${path} is stale: run the tests with MAYFLY_WRITE_DOCS=1`);
    });
  }

  it('name every code and every state', () => {
    const errors = renderErrors();
    assert.deepEqual(
      Object.keys(errorTable).filter((code) => !errors.includes(`| \`${code}\` |`)),
      [],
    );
    const machine = renderStateMachine();
    const states = [...Object.keys(clientTransitions), ...Object.keys(serverTransitions)];
    assert.deepEqual(
      states.filter((state) => !machine.includes(`| ${state} |`)),
      [],
    );
  });

  it('every state can be reached from the first, and Connected from every state', () => {
    const machines = [
      { table: clientTransitions, start: 'Start' },
      { table: serverTransitions, start: 'ExpectClientHello' },
    ];
    for (const { table, start } of machines) {
      const nexts = (state: string): string[] =>
        Object.values((table as Record<string, Record<string, readonly string[]>>)[state] ?? {}).flat();
      const reachable = (from: string) => {
        const seen = new Set([from]);
        for (const state of seen) {
          for (const next of nexts(state)) {
            seen.add(next);
          }
        }
        return seen;
      };
      const all = [...Object.keys(table), 'Connected'];
      assert.deepEqual([...reachable(start)].sort(), all.sort());
      assert.deepEqual(
        Object.keys(table).filter((state) => !reachable(state).has('Connected')),
        [],
      );
    }
  });
});
