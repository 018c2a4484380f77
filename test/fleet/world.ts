/**
 * A fleet in one process, with a time of its own: members, a faulty store, wrong clocks, sleeping machines. Everything is
 * synchronous and follows from a seed.
 */

import type { CryptoProvider } from '../../src/crypto/provider.ts';
import type { RingAction, RingEvent } from '../../src/fleet/actions.ts';
import { type RingConfiguration, type RingOptions, ringConfiguration } from '../../src/fleet/configuration.ts';
import type { WorkingKeyUse } from '../../src/fleet/epoch-secret.ts';
import type { HeldKey } from '../../src/fleet/held-key.ts';
import { createIdentityFiles, type IdentityFile, readIdentityFile } from '../../src/fleet/identity.ts';
import { Member } from '../../src/fleet/member.ts';
import { ticketKeyUses } from '../../src/fleet/ring-keys.ts';
import type { Moment } from '../../src/session/clock.ts';
import { FaultyStore } from './faulty-store.ts';
import type { SecretLedger } from './secret-ledger.ts';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
/** The start of an epoch, whatever the epoch's length. */
export const T0 = 1_800_000_000_000 - (1_800_000_000_000 % (24 * HOUR));

export interface WorldOptions {
  readonly provider: CryptoProvider;
  readonly nodes: number;
  readonly ring?: Partial<RingOptions>;
  readonly uses?: readonly WorkingKeyUse[];
  readonly ledger?: SecretLedger;
  /** Milliseconds into an epoch at which the simulation begins. */
  readonly startAt?: number;
  /** A number from 0 to 1, for delays and losses. Default: always a half. */
  readonly chance?: () => number;
}

export class Node {
  readonly name: string;
  readonly file: IdentityFile;
  member: Member | undefined;
  connected = true;
  /** Wall clock minus true time. */
  wallOffset = 0;
  /** How long its monotonic clock stood still. */
  monotonicLag = 0;
  asleepUntil = 0;
  /** When it last became able to work undisturbed: started, connected, woken, clock set. */
  undisturbedSince = 0;
  /** When a clock of it last misbehaved. */
  clockFaultAt = Number.NEGATIVE_INFINITY;
  /** The farthest that its wall clock was ever set back in this process's life. */
  setBack = 0;
  events: RingEvent[] = [];
  wakeAt = Number.POSITIVE_INFINITY;
  /** Counts processes: answers to an earlier one are dropped. */
  life = 0;

  constructor(name: string, file: IdentityFile) {
    this.name = name;
    this.file = file;
  }

  get running(): boolean {
    return this.member?.phase === 'running';
  }
}

interface Happening {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class World {
  readonly provider: CryptoProvider;
  readonly configuration: RingConfiguration;
  readonly store = new FaultyStore();
  readonly nodes: readonly Node[];
  readonly ledger: SecretLedger | undefined;
  /** Share of calls that are lost, and of writes that are written again later. */
  loss = 0;
  duplication = 0;
  /** Since when the store has kept and told what it was given. */
  honestSince = 0;
  /** When its clock was last wrong. */
  storeClockFaultAt = Number.NEGATIVE_INFINITY;
  time: number;
  /** Called after everything that happens at a node. */
  watch: (node: Node) => void = () => undefined;
  readonly #uses: readonly WorkingKeyUse[];
  readonly #chance: () => number;
  #happenings: Happening[] = [];
  #count = 0;

  constructor(options: WorldOptions) {
    const { provider, nodes, ring = {}, startAt = 0, chance = () => 0.5, uses = ticketKeyUses('default') } = options;
    this.provider = provider;
    this.ledger = options.ledger;
    this.#uses = uses;
    this.#chance = chance;
    const names = Array.from({ length: nodes }, (_, index) => `node${index}`);
    const files = createIdentityFiles(provider, 'fleet', names).map((text) => readIdentityFile(provider, text));
    this.configuration = ringConfiguration({
      fleetName: 'fleet',
      allowList: files[0].members.map(({ publicKey }) => publicKey),
      dangerouslyClassicalKem: true,
      ...ring,
    });
    this.time = T0 + startAt;
    this.nodes = files.map((file) => new Node(file.name, file));
  }

  get heartbeat(): number {
    return this.configuration.heartbeat;
  }

  get epochLength(): number {
    return this.configuration.epochLength;
  }

  moment(node: Node): Moment {
    return { wall: this.time + node.wallOffset, monotonic: this.time - T0 - node.monotonicLag + 1_000 };
  }

  start(node: Node): void {
    node.life++;
    node.setBack = 0;
    node.undisturbedSince = this.time;
    node.clockFaultAt = Number.NEGATIVE_INFINITY;
    node.asleepUntil = 0;
    const { provider, configuration } = this;
    this.#as(node, () => {
      const { identity } = node.file;
      node.member = new Member({ provider, configuration, identity, name: node.name, uses: this.#uses });
    });
    this.call(node, (member, now) => member.start(now));
  }

  startAll(): void {
    for (const node of this.nodes) {
      this.start(node);
    }
  }

  /** Without a word: what it had is gone with its memory. */
  crash(node: Node): void {
    node.life++;
    node.member = undefined;
    node.wakeAt = Number.POSITIVE_INFINITY;
    for (const { secret } of this.ledger?.alive(node.name) ?? []) {
      secret.erase('crash');
    }
  }

  connect(node: Node, connected: boolean): void {
    if (connected !== node.connected) {
      node.connected = connected;
      node.undisturbedSince = Math.max(node.undisturbedSince, this.time);
    }
  }

  /** Sets the wall clock of a node. */
  jump(node: Node, ms: number): void {
    node.wallOffset += ms;
    node.setBack = Math.max(node.setBack, -ms, -node.wallOffset);
    node.clockFaultAt = Math.max(node.clockFaultAt, this.time);
    node.undisturbedSince = Math.max(node.undisturbedSince, this.time);
  }

  /** Stops a machine: its monotonic clock stands still, its timers do not fire. */
  sleep(node: Node, ms: number): void {
    node.asleepUntil = Math.max(node.asleepUntil, this.time) + ms;
    node.monotonicLag += ms;
    node.clockFaultAt = node.asleepUntil;
    node.undisturbedSince = node.asleepUntil;
    this.#wakeAt(node, node.asleepUntil);
  }

  call(node: Node, what: (member: Member, now: Moment) => readonly RingAction[]): void {
    const { member } = node;
    if (member === undefined) {
      return;
    }
    const actions = this.#as(node, () => what(member, this.moment(node)));
    for (const action of actions) {
      this.#perform(node, action);
    }
    this.watch(node);
  }

  /** Lets time pass. */
  advance(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const next = this.#happenings[0];
      if (next === undefined || next.at > end) {
        break;
      }
      this.#happenings.shift();
      this.time = Math.max(this.time, next.at);
      next.run();
    }
    this.time = end;
  }

  sealing(node: Node): HeldKey | undefined {
    return node.member?.sealingKey(this.moment(node));
  }

  opening(node: Node): readonly HeldKey[] {
    return [...(node.member?.openingKeys(this.moment(node)) ?? [])];
  }

  opens(node: Node, id: string): boolean {
    return this.opening(node).some((key) => key.id === id && key.working('default', 'mayfly', this.moment(node)));
  }

  later(ms: number, run: () => void): void {
    const happening = { at: this.time + ms, order: this.#count++, run };
    const index = this.#happenings.findIndex(({ at }) => at > happening.at);
    this.#happenings.splice(index === -1 ? this.#happenings.length : index, 0, happening);
  }

  #perform(node: Node, action: RingAction): void {
    switch (action.kind) {
      case 'visit':
        this.#visit(node);
        break;
      case 'wake':
        this.#wakeAt(node, Math.max(this.time, node.asleepUntil) + action.after);
        break;
      case 'event':
        node.events.push(action.event);
        break;
      case 'publish':
        this.#publish(node);
        break;
      case 'work': {
        const { life } = node;
        const enough = () => this.#chance() < 0.5;
        this.later(this.#delay(), () => this.#ifAwake(node, life, (member, now) => member.work(now, enough)));
        break;
      }
      default:
        this.#write(node, action);
    }
  }

  #write(node: Node, action: RingAction): void {
    if (!node.connected || this.#chance() < this.loss) {
      return;
    }
    this.store.write(action, this.time);
    if (this.#chance() < this.duplication) {
      this.later(this.#chance() * 3 * this.heartbeat, () => this.store.write(action, this.time));
    }
  }

  #publish(from: Node): void {
    for (const node of this.nodes) {
      if (node !== from && from.connected && node.connected && this.#chance() >= this.loss) {
        this.later(this.#delay(), () => this.#ifAwake(node, node.life, (member, now) => member.hinted(now)));
      }
    }
  }

  #visit(node: Node): void {
    const began = this.moment(node);
    const { life } = node;
    const { member } = node;
    if (!node.connected || member === undefined || this.#chance() < this.loss) {
      this.later(this.#delay(), () => this.#ifAwake(node, life, (it, now) => it.visitFailed(now)));
      return;
    }
    this.later(this.#delay(), () => {
      const view = this.store.view(this.time, member.slot);
      this.later(this.#delay(), () => this.#ifAwake(node, life, (it, now) => it.visited(now, began, view)));
    });
  }

  /** What comes for a machine that sleeps is there when it wakes. */
  #ifAwake(node: Node, life: number, what: (member: Member, now: Moment) => readonly RingAction[]): void {
    if (node.life !== life) {
      return;
    }
    if (node.asleepUntil > this.time) {
      this.later(node.asleepUntil - this.time, () => this.#ifAwake(node, life, what));
      return;
    }
    this.call(node, what);
  }

  #wakeAt(node: Node, at: number): void {
    node.wakeAt = at;
    const { life } = node;
    this.later(at - this.time, () => {
      if (node.life === life && node.wakeAt === at) {
        this.#ifAwake(node, life, (member, now) => member.tick(now));
      }
    });
  }

  #delay(): number {
    return 1 + Math.floor(this.#chance() * 400);
  }

  #as<T>(node: Node, what: () => T): T {
    if (this.ledger === undefined) {
      return what();
    }
    this.ledger.owner = node.name;
    try {
      return what();
    } finally {
      this.ledger.owner = '';
    }
  }
}
