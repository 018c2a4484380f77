/** Alarms: conditions that hold until they do not, told when they begin and when they end. */

import type { RingAction, RingAlarm } from './actions.ts';

export class Alarms {
  readonly #on = new Set<RingAlarm>();

  get on(): readonly RingAlarm[] {
    return [...this.#on].sort();
  }

  update(conditions: Readonly<Record<RingAlarm, boolean>>): readonly RingAction[] {
    const actions: RingAction[] = [];
    for (const [alarm, holds] of Object.entries(conditions) as [RingAlarm, boolean][]) {
      if (holds && !this.#on.has(alarm)) {
        this.#on.add(alarm);
        actions.push({ kind: 'event', event: { kind: 'alarm', alarm } });
      }
      if (!holds && this.#on.delete(alarm)) {
        actions.push({ kind: 'event', event: { kind: 'alarm_over', alarm } });
      }
    }
    return actions;
  }
}
