import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock, withSleep } from '../../src/node/clock.ts';

describe('the monotonic clock', () => {
  /** A machine that has run for ten seconds when the process starts, and slept for an hour before that. */
  const machine = () => {
    const at = { running: 10_000, sinceBoot: 3_610_000 };
    const clock = withSleep(
      () => at.running,
      () => at.sinceBoot,
    );
    return {
      clock,
      run(ms: number): void {
        at.running += ms;
        at.sinceBoot += ms;
      },
      sleep(ms: number): void {
        at.sinceBoot += ms;
      },
    };
  };

  it('counts the time for which the machine slept, within a second of being awake', () => {
    const { clock, run, sleep } = machine();
    run(500);
    assert.equal(clock(), 10_500);
    sleep(7_200_000);
    run(1_000);
    assert.equal(clock(), 7_211_500);
    run(3_600_000);
    assert.equal(clock(), 10_811_500);
    for (let i = 0; i < 5; i++) {
      sleep(1_000);
      run(1_000);
      clock();
    }
    run(1_000);
    assert.equal(clock(), 10_811_500 + 6_000 + 3_000, 'short sleeps add up');
  });

  it('never goes back, and takes a time since boot that goes back, stands or is none for no sleep', () => {
    for (const strange of [0, 3_610_000, Number.NaN]) {
      let running = 10_000;
      let sinceBoot = 3_610_000;
      const clock = withSleep(
        () => running,
        () => sinceBoot,
      );
      sinceBoot = strange;
      running += 60_000;
      assert.equal(clock(), 70_000);
    }
    const none = withSleep(
      () => 5,
      () => Number.NaN,
    );
    assert.equal(none(), 5);
  });

  it('of this machine runs on', () => {
    const before = systemClock.monotonic();
    assert(systemClock.monotonic() >= before);
  });
});
