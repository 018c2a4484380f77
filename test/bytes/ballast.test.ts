import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ballast } from '../../src/bytes/ballast.ts';

const MIB = 2 ** 20;
const PIECE = 65_536;
const QUARTER = PIECE / 4 / 8;

/** A program that holds `held` bytes all the time, beside what waits for a collection, which comes each `swing` bytes. */
class Program {
  readonly #held: number;
  swing: number;
  #handed = 0;
  readonly #ballast = new Ballast(() => this.#held + (this.#handed % this.swing));

  constructor(swing: number, held = 0) {
    this.swing = swing;
    this.#held = held;
  }

  /** Elements of the last weight. */
  handOut(bytes: number): number {
    for (let i = 0; i < bytes / PIECE; i++) {
      this.#handed += PIECE;
      this.#ballast.add(PIECE);
    }
    return (this.#ballast.weight as unknown[]).length;
  }
}

describe('Ballast', () => {
  it('is a quarter of what is handed out, whatever the program holds besides', () => {
    assert.equal(new Program(22 * MIB).handOut(200 * MIB), QUARTER);
    assert.equal(new Program(22 * MIB, 500 * MIB).handOut(200 * MIB), QUARTER);
  });

  it('grows where collections come too late, up to the weight of the piece, and shrinks once they come often', () => {
    const program = new Program(45 * MIB, 500 * MIB);
    assert.equal(program.handOut(64 * MIB), QUARTER);
    assert.equal(program.handOut(64 * MIB), 2 * QUARTER);
    assert.equal(program.handOut(400 * MIB), 4 * QUARTER);
    program.swing = 12 * MIB;
    assert.equal(program.handOut(400 * MIB), QUARTER);
  });

  it('is none for small pieces', () => {
    const ballast = new Ballast(() => assert.fail('there is nothing to look for'));
    for (let i = 0; i < 10_000; i++) {
      ballast.add(1_024);
    }
    assert.equal(ballast.weight, undefined);
  });
});
