/**
 * A member of the ring, as a state machine: it is fed with time and with what the store shows, and answers with actions.
 * No sockets, no timers, no clock of its own; `ring.ts` runs it over a store.
 *
 * Nearly all of it happens in `visited`, and follows from what lies in the store and in the member's hands at that moment,
 * never from what was done before: an answer that got lost, a write that failed, a record that came back is all the same.
 */

import { sameBytes } from '../bytes/bytes.ts';
import { TLSError } from '../errors.ts';
import type { Moment } from '../session/clock.ts';
import type { KeyEnd, RingAction, RingAlarm, RingEvent } from './actions.ts';
import { Alarms } from './alarms.ts';
import { Announcer } from './announcer.ts';
import { epochAt } from './epoch-rules.ts';
import { type Generation, isEvicted, nextGeneration, sameGeneration } from './generation.ts';
import type { HeldKey } from './held-key.ts';
import { shortName } from './identity.ts';
import { KeyKeeper } from './key-keeper.ts';
import { type MemberContext, type MemberOptions, memberContext } from './member-context.ts';
import { type RingStatus, ringStatus } from './member-status.ts';
import { Orders } from './orders.ts';
import { Peers } from './peers.ts';
import { instanceSlot } from './records/member.ts';
import { Refusals } from './refusals.ts';
import { elapsed, ringTime } from './ring-time.ts';
import { MAX_INSTANCES, STORE_TIMEOUT, type StoreView } from './store.ts';
import { type Refuse, type Visit, VisitReader } from './visit.ts';
import { VisitSchedule } from './visit-schedule.ts';
import { Watchfulness, type Whereabouts } from './watchfulness.ts';
import { Welcomer } from './welcomer.ts';

type Phase = 'new' | 'running' | 'evicted' | 'left';

export class Member {
  readonly #context: MemberContext;
  readonly #keys: KeyKeeper;
  readonly #peers: Peers;
  readonly #welcomer: Welcomer;
  readonly #reader: VisitReader;
  readonly #announcer: Announcer;
  readonly #orders: Orders;
  readonly #alarms = new Alarms();
  readonly #refusals = new Refusals((event) => this.#tell(event));

  #phase: Phase = 'new';
  #startedAt: Moment = { wall: 0, monotonic: 0 };
  #schedule: VisitSchedule;
  #watch: Watchfulness;
  #lastVisit: Visit | undefined;
  #secondProcesses = 0;
  #events: RingEvent[] = [];

  /** @throws TLSError `TLS_ERR_CONFIG` the identity is not on the allow-list, or a use names an unknown policy */
  constructor(options: MemberOptions) {
    const context = memberContext(options);
    const refuse: Refuse = (why, slot) => this.#refusals.add(why, slot);
    const tell = (event: RingEvent) => this.#tell(event);
    const maySeal = (key: HeldKey, now: Moment) => this.#watch.maySeal(key, now);
    this.#context = context;
    this.#peers = new Peers(context, refuse);
    this.#keys = new KeyKeeper({ context, peers: this.#peers, refuse, tell, maySeal });
    this.#welcomer = new Welcomer(context);
    this.#reader = new VisitReader(context, refuse);
    this.#announcer = new Announcer(context, this.#keys.prekeys);
    this.#orders = new Orders(context, refuse);
    this.#schedule = new VisitSchedule(context.configuration.heartbeat, this.#startedAt);
    this.#watch = new Watchfulness(context.configuration, this.#startedAt);
  }

  /** 32 bytes: what the store of this ring is named by. */
  get ringId(): Uint8Array {
    return this.#context.trust.ringId;
  }

  /** 32 bytes. */
  get memberId(): Uint8Array {
    return this.#context.identity.memberId;
  }

  /** Of its record, and of welcomes for it. */
  get slot(): string {
    return instanceSlot(this.#context.instanceId);
  }

  /** Only a running one does anything. */
  get phase(): Phase {
    return this.#phase;
  }

  /** Number of flushes and evictions so far. */
  get generation(): number {
    return this.#generation.number;
  }

  /** Those that hold as of the last call. */
  get alarms(): readonly RingAlarm[] {
    return this.#alarms.on;
  }

  /** To be called once, first of all. */
  start(now: Moment): readonly RingAction[] {
    this.#phase = 'running';
    this.#startedAt = now;
    this.#schedule = new VisitSchedule(this.#context.configuration.heartbeat, now);
    this.#watch = new Watchfulness(this.#context.configuration, now);
    return this.#finish(now, []);
  }

  /** Time has passed. To be called when asked for by `wake`, and as often as one likes. */
  tick(now: Moment): readonly RingAction[] {
    return this.#finish(now, []);
  }

  /** Another member, or whoever can write to the store, says that there is something new. */
  hinted(now: Moment): readonly RingAction[] {
    // Not at once: hints must not make members visit without end.
    this.#lookSoon(now);
    return this.#finish(now, []);
  }

  visitFailed(now: Moment): readonly RingAction[] {
    this.#noteAwake(now);
    this.#visitEndedBadly(now);
    return this.#finish(now, []);
  }

  /** @param began when the first answer of this view was asked for */
  visited(now: Moment, began: Moment, view: StoreView): readonly RingAction[] {
    // A time that is none would make keys whose end never comes.
    if (elapsed(began, now) > STORE_TIMEOUT || this.#phase !== 'running' || !Number.isFinite(view.time)) {
      return this.visitFailed(now);
    }
    this.#schedule.end(now);
    this.#noteAwake(now);
    this.#keys.advance(now);
    const visit = this.#reader.read(now, began, view);
    this.#lastVisit = visit;
    this.#apply(this.#orders.learnt(visit));
    if (this.phase !== 'running') {
      return this.#finish(now, [{ kind: 'remove_member', slot: this.slot }]);
    }
    const trusted = this.#orders.within(visit);
    this.#peers.update(trusted, this.#generation, this.#announcer.count);
    for (const { memberId, instanceId } of this.#peers.newSecondProcesses(trusted.time, this.#announcer.firstAt)) {
      this.#secondProcesses++;
      this.#tell({ kind: 'second_process', member: shortName(memberId), instance: shortName(instanceId) });
    }
    const actions = this.#takeKeys(trusted);
    this.#watch.visited(began, this.#whereIsFresh(trusted));
    const announcement = this.#announce(trusted);
    const welcomes = this.#welcomer.decide(trusted, this.#peers.live, this.#keys.held.shareable(now), this.#generation);
    if (this.#welcomer.isBehind) {
      this.#lookSoon(now);
    }
    return this.#finish(now, [...this.#orders.keep(trusted), ...announcement, ...actions, ...welcomes]);
  }

  /**
   * Makes envelopes ready for the epoch that this member is to make: slow where ML-KEM is JavaScript. To be called when asked
   * for by `work`, after others had their turn.
   * @param enough asked after each envelope, of which there is at least one, whether it is time to let others have theirs
   */
  work(now: Moment, enough: () => boolean): readonly RingAction[] {
    if (!this.#keys.isAtWork) {
      return [];
    }
    this.#keys.work(now, enough);
    if (this.#keys.isAtWork) {
      return this.#finish(now, [{ kind: 'work' }]);
    }
    // Much may have happened meanwhile: the store tells.
    this.#schedule.within(now, 0);
    return this.#finish(now, []);
  }

  /**
   * Ends all keys of the whole ring: outstanding tickets die. Takes effect here at once, elsewhere with the next visit.
   * @throws TLSError `TLS_ERR_WRONG_STATE` not started, left, or evicted itself
   */
  flush(now: Moment): readonly RingAction[] {
    return this.#order(now, nextGeneration(this.#generation));
  }

  /**
   * The same, and the member with this id (32 bytes) gets no later key.
   * @throws TLSError `TLS_ERR_WRONG_STATE` as `flush`; `TLS_ERR_CONFIG` no such member is on the allow-list
   */
  evict(now: Moment, memberId: Uint8Array): readonly RingAction[] {
    if (!this.#context.trust.allows(memberId)) {
      throw new TLSError('TLS_ERR_CONFIG', 'who is to be evicted is not on the allow-list');
    }
    return this.#order(now, nextGeneration(this.#generation, memberId));
  }

  /** Asks for a new sealing key now; what was sealed before still opens. */
  rotate(now: Moment): readonly RingAction[] {
    this.#keys.requestRotation();
    this.#schedule.within(now, 0);
    return this.#finish(now, []);
  }

  /** Erases everything. */
  leave(now: Moment): readonly RingAction[] {
    const wasRunning = this.#phase === 'running';
    this.#stop('left', 'left');
    return this.#finish(now, wasRunning ? [{ kind: 'remove_member', slot: this.slot }, { kind: 'publish' }] : []);
  }

  /** The key to seal with now; undefined means that no ticket is made. */
  sealingKey(now: Moment): HeldKey | undefined {
    return this.#keys.sealing.key(now);
  }

  /** All keys that open now, in no order. */
  *openingKeys(now: Moment): Iterable<HeldKey> {
    for (const key of this.#keys.held.all) {
      if (key.state(now) !== 'ended') {
        yield key;
      }
    }
  }

  status(now: Moment): RingStatus {
    return ringStatus({
      context: this.#context,
      now,
      generation: this.#generation,
      lastVisit: this.#lastVisit,
      failedVisits: this.#watch.failedVisits,
      secondProcesses: this.#secondProcesses,
      sealing: this.sealingKey(now),
      keys: this.#keys.held,
      peers: this.#peers.live,
      refusals: this.#refusals.counts,
      alarms: this.#alarms.on,
    });
  }

  /** Keys from elsewhere, the member's own that the store shows, and a new one when it is its turn. */
  #takeKeys(visit: Visit): readonly RingAction[] {
    this.#keys.take(visit, this.#generation);
    // Of one whose own record the store does not show nobody else can know: two that start together would both make the
    // first epoch. And where it cannot write, nobody would see what it made.
    const isSeen = visit.members.some(({ instanceId }) => sameBytes(instanceId, this.#context.instanceId));
    const actions = isSeen ? this.#keys.make(visit, this.#generation) : [];
    if (actions.length > 0) {
      this.#lookSoon(visit.now);
    }
    return this.#keys.isAtWork ? [...actions, { kind: 'work' }] : actions;
  }

  #whereIsFresh(visit: Visit): Whereabouts {
    if (visit.skewed) {
      return 'untold';
    }
    if (this.#keys.hasCurrent(visit)) {
      return 'here';
    }
    return this.#peers.someoneHas(epochAt(this.#context.configuration, visit.time)) ? 'elsewhere' : 'nowhere';
  }

  #announce(visit: Visit): readonly RingAction[] {
    const { now } = visit;
    const first = this.#announcer.count === 0;
    const actions = this.#announcer.announce({
      visit,
      shareable: this.#keys.held.shareable(now),
      generation: this.#generation.number,
      ratchetDepth: this.sealingKey(now)?.depth ?? 0,
    });
    if (!first) {
      return actions;
    }
    this.#tell({
      kind: 'announced',
      member: shortName(this.memberId),
      instance: shortName(this.#context.instanceId),
    });
    // Others should know of it, and then it looks who else has come.
    this.#lookSoon(now);
    return [...actions, { kind: 'publish' }];
  }

  #order(now: Moment, generation: Generation): readonly RingAction[] {
    if (this.#phase !== 'running') {
      throw new TLSError('TLS_ERR_WRONG_STATE', `a member that is ${this.#phase} cannot give orders`);
    }
    if (sameGeneration(generation, this.#generation)) {
      throw new TLSError(
        'TLS_ERR_WRONG_STATE',
        'the ring has had all orders that it can count: it needs a new allow-list',
      );
    }
    const visit = this.#lastVisit;
    const issuedAt = Math.floor(visit === undefined ? now.wall : ringTime(visit.anchor, now));
    this.#apply(generation);
    const actions = this.#orders.put(issuedAt);
    this.#schedule.within(now, 0);
    return this.#finish(now, actions);
  }

  #apply(generation: Generation): void {
    if (!this.#orders.apply(generation)) {
      return;
    }
    this.#keys.endAll('generation');
    const { number, evicted } = generation;
    this.#tell({ kind: 'generation', generation: number, evicted: evicted.map(shortName) });
    if (isEvicted(generation, this.memberId)) {
      this.#stop('evicted', 'evicted');
    }
  }

  #stop(phase: Phase, why: KeyEnd): void {
    this.#phase = phase;
    this.#keys.endAll(why);
    this.#keys.prekeys.endAll();
  }

  /** What every call ends with: keys kept on time, alarms, the next visit, the next call. */
  #finish(now: Moment, actions: readonly RingAction[]): readonly RingAction[] {
    this.#noteAwake(now);
    this.#keys.advance(now);
    this.#keys.sealing.update(now);
    if (this.#keys.sealing.isWaiting(now)) {
      // Nobody gets a ticket meanwhile: the others' word that they have it is worth a look.
      this.#lookSoon(now);
    }
    const visit = this.#lastVisit;
    const conditions = {
      clock_skew: visit?.skewed === true,
      clock_behind: visit !== undefined && this.#keys.prekeys.seemsOver(visit),
      // After a sleep, or when the clock was set, half an epoch has passed in which nobody tried.
      store_unreachable:
        !this.#watch.isUnsure(now) && this.#sinceVisit(now) > this.#context.configuration.epochLength / 2,
      ...this.#keys.sealing.alarms(now),
      identity_shared: this.#peers.sharedIdentities > 0,
      ring_full: this.#peers.live.length >= MAX_INSTANCES,
      evicted: this.#phase === 'evicted',
    };
    const alarms = this.#alarms.update(conditions, visit?.skew);
    const events = this.#events.map((event) => ({ kind: 'event', event }) as const);
    this.#events = [];
    return [...actions, ...events, ...alarms, ...this.#next(now)];
  }

  #next(now: Moment): readonly RingAction[] {
    if (this.#phase !== 'running') {
      return [];
    }
    if (this.#schedule.isLost(now)) {
      this.#visitEndedBadly(now);
    }
    const visit: readonly RingAction[] = this.#schedule.begin(now) ? [{ kind: 'visit' }] : [];
    // With each heartbeat also while a visit takes its time, as by the time between two calls it knows that it was awake.
    const { heartbeat } = this.#context.configuration;
    const after = Math.max(1, Math.ceil(Math.min(this.#schedule.wait(now), this.#keys.nextChange(now), heartbeat)));
    this.#watch.asksFor(after);
    return [...visit, { kind: 'wake', after }];
  }

  #noteAwake(now: Moment): void {
    if (this.#watch.note(now)) {
      this.#lookSoon(now);
    }
  }

  #visitEndedBadly(now: Moment): void {
    this.#schedule.end(now);
    this.#watch.visitFailed(now);
    if (this.#watch.isUnsure(now)) {
      this.#lookSoon(now);
    }
  }

  #lookSoon(now: Moment): void {
    this.#schedule.within(now, this.#context.configuration.heartbeat / 8);
  }

  #sinceVisit(now: Moment): number {
    return elapsed(this.#lastVisit?.now ?? this.#startedAt, now);
  }

  get #generation(): Generation {
    return this.#orders.generation;
  }

  #tell(event: RingEvent): void {
    this.#events.push(event);
  }
}
