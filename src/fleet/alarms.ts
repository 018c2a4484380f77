/** Alarms: conditions that hold until they do not, told when they begin and when they end. */

import type { RingAction, RingAlarm } from './actions.ts';

export class Alarms {
  readonly #on = new Set<RingAlarm>();

  get on(): readonly RingAlarm[] {
    return [...this.#on].sort();
  }

  /** @param skew of the last visit, to be told with what is about clocks */
  update(conditions: Readonly<Record<RingAlarm, boolean>>, skew: number | undefined): readonly RingAction[] {
    const actions: RingAction[] = [];
    const tell = (kind: 'alarm' | 'alarm_over', alarm: RingAlarm) => {
      const ofClocks = skew !== undefined && (alarm === 'clock_skew' || alarm === 'clock_behind');
      actions.push({ kind: 'event', event: { kind, alarm, ...(ofClocks ? { skew } : {}) } });
    };
    for (const [alarm, holds] of Object.entries(conditions) as [RingAlarm, boolean][]) {
      if (holds && !this.#on.has(alarm)) {
        this.#on.add(alarm);
        tell('alarm', alarm);
      }
      if (!holds && this.#on.delete(alarm)) {
        tell('alarm_over', alarm);
      }
    }
    return actions;
  }
}
