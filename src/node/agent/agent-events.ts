/** What an agent tells of its server, beside what the ring tells. */

import type { RingEvent } from '../../fleet/actions.ts';
import type { PlannedKey } from '../../fleet/agent/key-plan.ts';
import type { Overdue } from './driver.ts';

export type AgentAlarm =
  /** The server did not take its keys; tried again. */
  | 'server_not_told'
  /** It does not run, or not where the agent looks for it. */
  | 'server_absent'
  /** A key that has ended is in the memory of a process still. */
  | 'ended_key_in_server'
  /** Swap was turned on under a tmpfs without noswap. */
  | 'keys_may_swap';

export type AgentEvent =
  | RingEvent
  /** The server holds these and no others. */
  | {
      readonly kind: 'told';
      readonly keys: readonly { readonly key: string; readonly role: PlannedKey['role']; readonly endsAt: number }[];
    }
  /** Its keys could not be taken from it at the end. */
  | { readonly kind: 'not_told'; readonly why: string }
  | { readonly kind: 'server_alarm' | 'server_alarm_over'; readonly alarm: AgentAlarm; readonly detail?: string };

/** Conditions that hold until they do not, told when they begin, when they end, and when there is more to say. */
export class AgentAlarms {
  readonly #tell: (event: AgentEvent) => void;
  readonly #on = new Map<AgentAlarm, string | undefined>();

  constructor(tell: (event: AgentEvent) => void) {
    this.#tell = tell;
  }

  get on(): readonly AgentAlarm[] {
    return [...this.#on.keys()].sort();
  }

  set(alarm: AgentAlarm, holds: boolean, detail?: string): void {
    if (holds && (!this.#on.has(alarm) || this.#on.get(alarm) !== detail)) {
      this.#on.set(alarm, detail);
      this.#tell({ kind: 'server_alarm', alarm, ...(detail === undefined ? {} : { detail }) });
    }
    if (!holds && this.#on.delete(alarm)) {
      this.#tell({ kind: 'server_alarm_over', alarm });
    }
  }
}

/** The detail of `ended_key_in_server`. */
export function overdueText(overdue: Overdue | undefined): string | undefined {
  if (overdue === undefined) {
    return undefined;
  }
  const { keys, pids } = overdue;
  return pids.length === 0
    ? `${keys.join(', ')} in the server`
    : `${keys.join(', ')} in process ${pids.join(', ')}, which a reload has replaced`;
}

/** Events of the ring after which the server may have to be told. */
export const CHANGES: ReadonlySet<string> = new Set<RingEvent['kind']>([
  'sealing',
  'not_sealing',
  'key_received',
  'epoch_made',
  'key_ended',
  'generation',
]);
