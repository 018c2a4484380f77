/**
 * The protocol under everything that can go wrong: random sequences of faults over a simulated fleet, and the rules of
 * docs/ring.md that must hold at each step. `MAYFLY_RING_RUNS=5000 node --test …` runs it for longer, and lets days pass;
 * `MAYFLY_RING_SEED=…` repeats a run.
 */

import { describe, it } from 'node:test';
import fc from 'fast-check';
import { happenings, heal } from './commands.ts';
import { Invariants } from './invariants.ts';
import { SecretLedger } from './secret-ledger.ts';
import { createToyProvider } from './toy-provider.ts';
import { HOUR, MINUTE, World } from './world.ts';

const runs = Number(process.env.MAYFLY_RING_RUNS ?? 16);
const seed = process.env.MAYFLY_RING_SEED;
const long = runs > 200;

/** A generator of numbers from 0 to 1 (mulberry32): delays and losses follow from the run's seed. */
function numbersFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

describe('a fleet, whatever happens', () => {
  it('keeps keys no longer than they may be, seals what all can open, agrees again, and believes no forger', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.integer({ min: 2, max: 5 }),
        fc.nat({ max: 59 }),
        fc.constantFrom(2 * MINUTE, ...(long ? [MINUTE] : [])),
        fc.commands(happenings(long), { maxCommands: long ? 60 : 35, size: 'max' }),
        (start, nodes, minute, heartbeat, commands) => {
          const ledger = new SecretLedger();
          try {
            const world = new World({
              provider: createToyProvider(start),
              nodes,
              ring: { epochLength: HOUR, ticketLifetime: HOUR, ticketLifetime12: 30 * MINUTE, heartbeat },
              ledger,
              startAt: minute * MINUTE,
              chance: numbersFrom(start),
            });
            const fleet = { world, invariants: new Invariants(world, ledger) };
            fc.modelRun(() => {
              world.startAll();
              return { model: {}, real: fleet };
            }, commands);
            heal(fleet);
            fleet.invariants.checkHistory();
          } finally {
            ledger.stop();
          }
        },
      ),
      {
        numRuns: runs,
        ...(seed === undefined ? {} : { seed: Number(seed) }),
        includeErrorInReport: true,
      },
    );
  });
});
