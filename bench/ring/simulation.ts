/**
 * A ring of many members in one process, with a time of its own: the members are the real ones (`src/fleet/member.ts`) with
 * real cryptography, network and clocks are simulated. Each call to the store takes some milliseconds; a member that is cut
 * off fails to visit, and is seen by nobody.
 */

import type { CryptoProvider } from '../../src/crypto/provider.ts';
import type { RingAction } from '../../src/fleet/actions.ts';
import type { RingConfiguration } from '../../src/fleet/configuration.ts';
import { Member } from '../../src/fleet/member.ts';
import { ticketKeyUses } from '../../src/fleet/ring-keys.ts';
import type { StoredRecord, StoreView } from '../../src/fleet/store.ts';
import type { Moment } from '../../src/session/clock.ts';
import { type Membership, sharedProvider } from './members.ts';

interface Node {
  readonly member: Member;
  connected: boolean;
  wakeAt: number;
}

interface Happening {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

type Kind = 'member' | 'epoch' | 'welcome' | 'order';

export class Simulation {
  time: number;
  readonly nodes: readonly Node[];
  readonly #configuration: RingConfiguration;
  readonly #provider: CryptoProvider = sharedProvider();
  readonly #store = new Map<string, StoredRecord & { readonly kind: Kind; readonly until: number }>();
  readonly #queue: Happening[] = [];
  #count = 0;

  /** @param startAt milliseconds into an epoch */
  constructor({ configuration, identities }: Membership, startAt: number) {
    const start = Date.now();
    this.time = start - (start % configuration.epochLength) + startAt;
    this.#configuration = configuration;
    this.nodes = identities.map((identity, index) => ({
      member: new Member({
        provider: this.#provider,
        configuration,
        identity,
        name: `node ${index}`,
        uses: ticketKeyUses('default'),
      }),
      connected: true,
      wakeAt: Number.POSITIVE_INFINITY,
    }));
  }

  /** All within a second, as a deployment does. */
  startAll(): void {
    for (const node of this.nodes) {
      this.#later(this.#spread(1_000), () => this.#call(node, (member, now) => member.start(now)));
    }
  }

  advance(ms: number): void {
    const end = this.time + ms;
    for (let next = this.#queue[0]; next !== undefined && next.at <= end; next = this.#queue[0]) {
      this.#pop();
      this.time = Math.max(this.time, next.at);
      next.run();
    }
    this.time = end;
  }

  /** Milliseconds until it is so; looks every tenth of a heartbeat. */
  until(met: () => boolean, limit: number): number | undefined {
    const began = this.time;
    while (!met()) {
      if (this.time - began > limit) {
        return undefined;
      }
      this.advance(this.#configuration.heartbeat / 10);
    }
    return this.time - began;
  }

  /** The ids of the keys that are sealed with now: one when all is well; 'none' where there is none. */
  sealing(nodes: readonly Node[] = this.nodes): ReadonlySet<string> {
    return new Set(nodes.map(({ member }) => member.sealingKey(this.#now())?.id ?? 'none'));
  }

  /** Whether each of these opens what any of these seals. */
  allOpen(nodes: readonly Node[] = this.nodes): boolean {
    const sealed = this.sealing(nodes);
    return nodes.every(({ member }) => {
      const ids = new Set([...member.openingKeys(this.#now())].map(({ id }) => id));
      return [...sealed].every((id) => id !== 'none' && ids.has(id));
    });
  }

  ratcheted(nodes: readonly Node[] = this.nodes): number {
    return nodes.filter(({ member }) => (member.sealingKey(this.#now())?.depth ?? 0) > 0).length;
  }

  close(): void {
    for (const { member } of this.nodes) {
      member.leave(this.#now());
    }
  }

  #now(): Moment {
    return { wall: this.time, monotonic: this.time };
  }

  #call(node: Node, what: (member: Member, now: Moment) => readonly RingAction[]): void {
    for (const action of what(node.member, this.#now())) {
      this.#carryOut(node, action);
    }
  }

  #carryOut(node: Node, action: RingAction): void {
    switch (action.kind) {
      case 'visit':
        this.#visit(node);
        return;
      case 'wake': {
        const at = this.time + action.after;
        node.wakeAt = at;
        this.#later(action.after, () => {
          if (node.wakeAt === at) {
            this.#call(node, (member, now) => member.tick(now));
          }
        });
        return;
      }
      case 'work':
        this.#later(1, () => this.#call(node, (member, now) => member.work(now, () => false)));
        return;
      case 'publish':
        for (const other of node.connected ? this.nodes : []) {
          if (other !== node && other.connected) {
            this.#later(this.#spread(LATENCY), () => this.#call(other, (member, now) => member.hinted(now)));
          }
        }
        return;
      case 'event':
        return;
      default:
        if (node.connected) {
          this.#write(action);
        }
    }
  }

  #visit(node: Node): void {
    const began = this.#now();
    this.#later(this.#spread(LATENCY), () => {
      if (!node.connected) {
        this.#call(node, (member, now) => member.visitFailed(now));
        return;
      }
      const view = this.#view(node.member.slot);
      this.#later(this.#spread(LATENCY), () => this.#call(node, (member, now) => member.visited(now, began, view)));
    });
  }

  #write(action: Exclude<RingAction, { kind: 'visit' | 'wake' | 'work' | 'publish' | 'event' }>): void {
    if (action.kind === 'remove_member') {
      this.#store.delete(`member ${action.slot}`);
      return;
    }
    const kind = action.kind.slice('put_'.length) as Kind;
    const name = `${kind} ${action.slot}`;
    const there = this.#store.get(name);
    if (action.kind === 'put_epoch' && action.ifAbsent && there !== undefined && there.until > this.time) {
      return;
    }
    this.#store.set(name, { kind, slot: action.slot, bytes: action.record, until: this.time + action.ttl });
  }

  #view(slot: string): StoreView {
    const of: Record<Kind, StoredRecord[]> = { member: [], epoch: [], welcome: [], order: [] };
    for (const [name, entry] of this.#store) {
      if (entry.until <= this.time) {
        this.#store.delete(name);
      } else if (entry.kind !== 'welcome' || entry.slot === slot) {
        of[entry.kind].push(entry);
      }
    }
    return { time: this.time, members: of.member, epochs: of.epoch, welcomes: of.welcome, orders: of.order };
  }

  /** Spread evenly, and the same in each run. */
  #spread(ms: number): number {
    return 1 + Math.floor((((this.#count * 0.618_033_988_75) % 1) + 1) * 0.5 * ms);
  }

  #later(ms: number, run: () => void): void {
    const queue = this.#queue;
    const happening = { at: this.time + ms, order: this.#count++, run };
    let index = queue.length;
    while (index > 0 && isBefore(happening, queue[(index - 1) >> 1])) {
      queue[index] = queue[(index - 1) >> 1];
      index = (index - 1) >> 1;
    }
    queue[index] = happening;
  }

  #pop(): void {
    const queue = this.#queue;
    const last = queue.pop() as Happening;
    if (queue.length === 0) {
      return;
    }
    let index = 0;
    for (let child = 1; child < queue.length; child = 2 * index + 1) {
      if (child + 1 < queue.length && isBefore(queue[child + 1], queue[child])) {
        child++;
      }
      if (!isBefore(queue[child], last)) {
        break;
      }
      queue[index] = queue[child];
      index = child;
    }
    queue[index] = last;
  }
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Milliseconds that a call to the store takes, at most. */
const LATENCY = 20;
