/**
 * A running ring member: carries a `Member`'s actions out over a store and a clock. All that can go wrong with the store
 * ends here as a failed visit; the member goes on with what it has.
 */

import { TLSError } from '../errors.ts';
import { Account, onAccountOf, type SecretOwner } from '../ledger/channels.ts';
import { Alarm, type Clock, type ClockTimer, type Moment, momentOf } from '../session/clock.ts';
import type { RingAction, RingEvent } from './actions.ts';
import { Member } from './member.ts';
import type { MemberOptions } from './member-context.ts';
import type { RingStatus } from './member-status.ts';
import { RingTicketKeys } from './ring-keys.ts';
import { type RingStore, STORE_TIMEOUT, type StoreView } from './store.ts';

export interface RingOptions extends MemberOptions {
  /** Of the ring with the id `ringId(provider, configuration)`. */
  readonly store: RingStore;
  readonly clock: Clock;
  /** Told of what happens, after it did. Must not throw. */
  readonly onEvent?: (event: RingEvent) => void;
  /** Told of each failure of the store. Must not throw. */
  readonly onStoreError?: (error: unknown) => void;
}

export class Ring {
  readonly member: Member;
  readonly #store: RingStore;
  readonly #clock: Clock;
  readonly #onEvent: ((event: RingEvent) => void) | undefined;
  readonly #onStoreError: ((error: unknown) => void) | undefined;
  readonly #account = new Account('ring');
  readonly #alarm: Alarm;
  readonly #unsubscribe: () => void;
  /** Writes go out one after the other, in the order in which they were asked for. */
  #writes: Promise<void> = Promise.resolve();
  #worker: ClockTimer | undefined;
  #closed = false;

  /** Starts at once. @throws TLSError `TLS_ERR_CONFIG` */
  constructor(options: RingOptions) {
    const { store, clock, onEvent, onStoreError } = options;
    this.member = new Member(options);
    this.#store = store;
    this.#clock = clock;
    this.#onEvent = onEvent;
    this.#onStoreError = onStoreError;
    this.#alarm = new Alarm(clock, () => this.#act((now) => this.member.tick(now)));
    this.#unsubscribe = store.subscribe(() => this.#hinted());
    this.#act((now) => this.member.start(now));
  }

  /** Whose secrets these are, for the ledger. */
  get owner(): SecretOwner {
    return this.#account.owner;
  }

  /** The keys for the tickets of one policy; the ring must have been given `ticketKeyUses(policy)`. */
  ticketKeys(policy: string): RingTicketKeys {
    return new RingTicketKeys({ member: this.member, clock: this.#clock, policy });
  }

  status(): RingStatus {
    return this.member.status(momentOf(this.#clock));
  }

  /** Resolves when the order lies in the store, or was refused by it. @throws TLSError `TLS_ERR_WRONG_STATE` */
  async flush(): Promise<void> {
    await this.#act((now) => this.member.flush(now));
  }

  /** @param memberId 32 bytes. @throws TLSError `TLS_ERR_WRONG_STATE`, `TLS_ERR_CONFIG` */
  async evict(memberId: Uint8Array): Promise<void> {
    await this.#act((now) => this.member.evict(now, memberId));
  }

  /** A new sealing key, soon; what was sealed before still opens. */
  rotate(): void {
    this.#act((now) => this.member.rotate(now));
  }

  /** Erases all keys and signs off. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    this.#alarm.cancel();
    this.#worker?.cancel();
    this.#unsubscribe();
    await this.#act((now) => this.member.leave(now));
  }

  #hinted(): void {
    if (!this.#closed) {
      this.#act((now) => this.member.hinted(now));
    }
  }

  /** For the ledger, the secrets that the member makes are the ring's. Resolves as `#carryOut` does. */
  #act(step: (now: Moment) => readonly RingAction[]): Promise<void> {
    return this.#carryOut(onAccountOf(this.#account.noted, () => step(momentOf(this.#clock))));
  }

  /** A little of what takes long, so that connections are not kept waiting. */
  #work(): void {
    this.#worker = undefined;
    const began = this.#clock.monotonic();
    this.#act((now) => this.member.work(now, () => this.#clock.monotonic() - began >= TURN_OF_WORK));
  }

  /** Resolves when all writes among them are done. */
  #carryOut(actions: readonly RingAction[]): Promise<void> {
    const events: RingEvent[] = [];
    for (const action of actions) {
      switch (action.kind) {
        case 'visit':
          void this.#visit();
          break;
        case 'wake':
          this.#alarm.set(action.after);
          break;
        case 'work':
          this.#worker ??= this.#clock.setTimer(() => this.#work(), 1);
          break;
        case 'event':
          events.push(action.event);
          break;
        default:
          this.#writes = this.#writes.then(() => this.#write(action));
      }
    }
    // Last: a listener that throws must not keep the ring from waking, and so keys from ending.
    for (const event of events) {
      this.#onEvent?.(event);
    }
    return this.#writes;
  }

  async #visit(): Promise<void> {
    // What was written before must be seen: whether an epoch is missing depends on it.
    await this.#writes;
    const began = momentOf(this.#clock);
    const view = await this.#attempt(() => this.#look());
    if (this.#closed) {
      return;
    }
    this.#act((now) => (view === undefined ? this.member.visitFailed(now) : this.member.visited(now, began, view)));
  }

  async #look(): Promise<StoreView> {
    const store = this.#store;
    const [time, members, epochs, welcomes, orders] = await Promise.all([
      store.time(),
      store.listMembers(),
      store.listEpochs(),
      store.listWelcomes(this.member.slot),
      store.listOrders(),
    ]);
    return { time, members, epochs, welcomes, orders };
  }

  async #write(action: Exclude<RingAction, { kind: 'visit' | 'wake' | 'work' | 'event' }>): Promise<void> {
    await this.#attempt(() => {
      switch (action.kind) {
        case 'put_member':
          return this.#store.putMember(action.slot, action.record, action.ttl);
        case 'put_epoch':
          return this.#store.putEpoch(action.slot, action.record, action.ttl, action.ifAbsent);
        case 'put_welcome':
          return this.#store.putWelcome(action.slot, action.record, action.ttl);
        case 'put_order':
          return this.#store.putOrder(action.slot, action.record, action.ttl);
        case 'remove_member':
          return this.#store.removeMember(action.slot);
        default:
          return this.#store.publish();
      }
    });
  }

  /** Undefined when it failed, or took longer than any answer is good for. */
  async #attempt<T>(call: () => Promise<T>): Promise<T | undefined> {
    let timer: { cancel(): void } | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = this.#clock.setTimer(() => reject(timedOut()), STORE_TIMEOUT);
    });
    try {
      return await Promise.race([call(), late]);
    } catch (error) {
      this.#onStoreError?.(error);
      return undefined;
    } finally {
      timer?.cancel();
    }
  }
}

function timedOut(): TLSError {
  return new TLSError('TLS_ERR_STORE', `the ring's store did not answer within ${STORE_TIMEOUT / 1000} s`);
}

/** Milliseconds: what one handshake takes, about. */
const TURN_OF_WORK = 4;
