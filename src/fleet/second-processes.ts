/**
 * Which processes ran beside as many of their identity as are meant to run: a copied identity file, a thief for seconds. One
 * that ended before another began is none of them, however long its record lies there, so a restart is not taken for one.
 */

import { toHex } from '../bytes/bytes.ts';
import type { MemberRecord } from './records/member.ts';

/** A process between two moments at which it has shown to be alive; ring time, by its own word. */
export interface ProcessSpan {
  readonly memberId: Uint8Array;
  /** How many of them are meant to run, as it says. */
  readonly processes: number;
  readonly from: number;
  readonly to: number;
  /** Absent for this process itself. */
  readonly record?: MemberRecord;
}

export class SecondProcesses {
  /** Instances, hex. */
  #told: ReadonlySet<string> = new Set();

  /** Each is told once, for as long as it is known. */
  newOnes(spans: readonly ProcessSpan[]): readonly MemberRecord[] {
    const groups = new Map<string, ProcessSpan[]>();
    for (const span of spans) {
      const id = toHex(span.memberId);
      groups.set(id, [...(groups.get(id) ?? []), span]);
    }
    const found = [...groups.values()].flatMap(tooMany);
    const before = this.#told;
    this.#told = new Set(found.map(({ instanceId }) => toHex(instanceId)));
    return found.filter(({ instanceId }) => !before.has(toHex(instanceId)));
  }
}

/** Those of one identity that came while all that are meant to run did. Walks through time, as who has an identity makes many. */
function tooMany(spans: readonly ProcessSpan[]): readonly MemberRecord[] {
  const allowed = Math.min(...spans.map(({ processes }) => processes));
  const byStart = [...spans].sort((a, b) => a.from - b.from);
  const ends = spans.map(({ from, to }) => Math.max(from, to)).sort((a, b) => a - b);
  let begun = 0;
  let ended = 0;
  return byStart.flatMap(({ from, to, record }) => {
    while (begun < byStart.length && byStart[begun].from <= from) {
      begun++;
    }
    while (ended < ends.length && ends[ended] <= from) {
      ended++;
    }
    const beside = begun - ended - (to > from ? 1 : 0);
    return record !== undefined && beside >= allowed ? [record] : [];
  });
}
