/**
 * A member of the ring that serves nobody itself: it keeps the ticket keys of another server on this machine as the ring has
 * them, tries again when that server cannot be told, and says so for as long as it cannot.
 */

import { nodeProvider } from '../../crypto/node-provider.ts';
import { TLSError } from '../../errors.ts';
import type { RingEvent } from '../../fleet/actions.ts';
import { AgentKeys, type KeyPlan } from '../../fleet/agent/key-plan.ts';
import { targetOf } from '../../fleet/agent/products.ts';
import { MAX_KEY_LIFE } from '../../fleet/configuration.ts';
import type { RingStatus } from '../../fleet/member-status.ts';
import { Ring } from '../../fleet/ring.ts';
import { elapsed } from '../../fleet/ring-time.ts';
import type { RingStore } from '../../fleet/store.ts';
import { Alarm, type Clock, type Moment, momentOf } from '../../session/clock.ts';
import { eraseAtExit } from '../erase-at-exit.ts';
import type { FleetPlan } from '../fleet.ts';
import { AgentAlarms, type AgentEvent, CHANGES, overdueText } from './agent-events.ts';
import type { ServerDriver, Told } from './driver.ts';

export interface RingAgentOptions {
  readonly plan: FleetPlan;
  readonly store: RingStore;
  readonly clock: Clock;
  readonly driver: ServerDriver;
  /** One of the ring's: servers of one product with the same label open each other's tickets. */
  readonly policy: string;
  /** Bytes; default: the most that the product takes. */
  readonly keySize?: number;
  /** The server speaks TLS 1.3 alone: keys open for `ticketLifetime` instead of `ticketLifetime12`. Default false. */
  readonly tls13Only?: boolean;
  /** Milliseconds for which processes that a reload has replaced may run on with keys that have ended. */
  readonly drain: number;
  /** Milliseconds for which keys that an agent before has left may go on while the ring has sent none. */
  readonly patience: number;
  /** Told of what happens, in the ring and at the server. Must not throw. */
  readonly onEvent?: (event: AgentEvent) => void;
  readonly onStoreError?: (error: unknown) => void;
}

export class RingAgent {
  /** Resolves when the server holds a key of the ring that seals. Never rejected. */
  readonly ready: Promise<void>;
  readonly #options: RingAgentOptions;
  readonly #ring: Ring;
  readonly #keys: AgentKeys;
  readonly #alarm: Alarm;
  readonly #alarms: AgentAlarms;
  readonly #startedAt: Moment;
  readonly #checkInterval: number;
  #isReady: () => void = () => {};
  #work: Promise<void> = Promise.resolve();
  #isWorking = false;
  #isWanted = false;
  #closed = false;
  /** What the server was last told with success; undefined while that is not known to hold. */
  #told: string | undefined;
  #had = false;
  /** Milliseconds from the last plan to the end of one of its keys. */
  #nextEnd = Number.POSITIVE_INFINITY;
  #failures = 0;
  #failedAt: Moment | undefined;
  /** What it was that could not be told. */
  #failed = '';

  /** Starts at once. @throws TLSError `TLS_ERR_CONFIG`, `TLS_ERR_KEY_FOLDER` */
  constructor(options: RingAgentOptions) {
    const { plan, driver, clock, policy, keySize, tls13Only = false, drain, onStoreError } = options;
    const { configuration, file } = plan;
    const longest = 2 * configuration.epochLength + configuration.ticketLifetime + drain;
    if (longest > MAX_KEY_LIFE) {
      throw new TLSError(
        'TLS_ERR_CONFIG',
        `two epochs, a ticket lifetime and ${drain / 1000} s for old processes to end come to ${longest / 1000} s: ` +
          `a key may live at most ${MAX_KEY_LIFE / 1000} s (24 hours)`,
      );
    }
    this.#options = options;
    this.#alarms = new AgentAlarms((event) => options.onEvent?.(event));
    this.#alarm = new Alarm(clock, () => this.#wake());
    this.#startedAt = momentOf(clock);
    this.#checkInterval = Math.min(CHECK_INTERVAL, configuration.heartbeat);
    this.ready = new Promise((resolve) => {
      this.#isReady = resolve;
    });
    const use = { policy, target: targetOf(driver.product, keySize) };
    driver.prepare();
    this.#ring = new Ring({
      provider: nodeProvider,
      configuration,
      identity: file.identity,
      name: file.name,
      uses: [use],
      store: options.store,
      clock,
      onEvent: (event) => this.#happened(event),
      onStoreError,
    });
    this.#keys = new AgentKeys({ member: this.#ring.member, configuration, use, tls13Only });
    eraseAtExit(this.#ring, (ring) => void ring.close());
    this.#alarm.set(this.#checkInterval);
  }

  status(): RingStatus {
    return this.#ring.status();
  }

  /** Of the ring and of the agent. */
  get alarms(): readonly string[] {
    return [...this.#ring.member.alarms, ...this.#alarms.on];
  }

  rotate(): void {
    this.#ring.rotate();
  }

  flush(): Promise<void> {
    return this.#ring.flush();
  }

  /**
   * Takes the keys from the server and from the files, unless they are to be left, erases its own and leaves the ring.
   * @returns whether the server was told, does not run, or could not be told. Idempotent.
   */
  async close({ leaveKeys = false } = {}): Promise<Told | 'left' | 'failed'> {
    if (this.#closed) {
      return 'left';
    }
    this.#closed = true;
    this.#alarm.cancel();
    await this.#work;
    const { driver } = this.#options;
    try {
      return leaveKeys ? 'left' : await driver.withdraw();
    } catch (error) {
      this.#options.onEvent?.({ kind: 'not_told', why: (error as Error).message });
      return 'failed';
    } finally {
      driver.close();
      await this.#ring.close();
    }
  }

  #happened(event: RingEvent): void {
    this.#options.onEvent?.(event);
    if (!CHANGES.has(event.kind) || this.#closed) {
      return;
    }
    this.#isWanted ||= this.#isWorking;
    // Not within the ring's own call; and what comes together is told together.
    this.#alarm.set(COALESCE);
  }

  #wake(): void {
    if (this.#closed) {
      return;
    }
    if (this.#isWorking) {
      this.#isWanted = true;
      this.#dropEnded();
      return;
    }
    this.#isWorking = true;
    this.#work = this.#settle().finally(() => {
      this.#isWorking = false;
      if (!this.#closed) {
        this.#setAlarm();
      }
    });
  }

  async #settle(): Promise<void> {
    const { driver, drain, clock } = this.#options;
    const plan = driver.select(this.#keys.plan(momentOf(clock)));
    this.#nextEnd = this.#keys.nextEnd(plan, momentOf(clock));
    driver.holders.wanted(plan);
    // Who stood still left the server with keys that have ended: that is told also when it is put right at once.
    this.#tellOverdue(drain + this.#checkInterval, { mayEnd: false });
    const turn = this.#turnIn(plan);
    if (turn !== undefined) {
      this.#nextEnd = turn;
    } else if (this.#isDue(plan)) {
      await this.#attempt(plan);
    }
    this.#tellOverdue(drain, { mayEnd: true });
    this.#alarms.set('keys_may_swap', driver.maySwap);
  }

  #tellOverdue(grace: number, { mayEnd }: { readonly mayEnd: boolean }): void {
    const overdue = this.#options.driver.holders.overdue(grace);
    if (overdue !== undefined || mayEnd) {
      this.#alarms.set('ended_key_in_server', overdue !== undefined, overdueText(overdue));
    }
  }

  /**
   * Milliseconds until another key seals, when that is soon, and all that is to be told before is that a key has ended: a
   * server should not reload twice within a second.
   */
  #turnIn(plan: KeyPlan): number | undefined {
    const next = plan.find(({ role }) => role === 'waiting');
    const left = next === undefined ? Number.POSITIVE_INFINITY : next.sealFrom - this.#options.clock.now();
    const told = new Set(this.#told?.split(','));
    const isOnlyLess = plan.every((key) => told.has(`${key.id} ${key.role}`));
    return left > 0 && left <= SOON && isOnlyLess ? left : undefined;
  }

  /** A reload that hangs, or fails slowly, must not keep the files of keys that have ended. */
  #dropEnded(): void {
    const { driver, clock } = this.#options;
    const plan = driver.select(this.#keys.plan(momentOf(clock)));
    if (this.#had) {
      driver.holders.wanted(plan);
      driver.keepOnly?.(plan);
    }
  }

  async #attempt(plan: KeyPlan): Promise<void> {
    try {
      if (!(await this.#isSettled(plan))) {
        await this.#tell(plan);
      }
      this.#failures = 0;
      this.#failedAt = undefined;
      this.#alarms.set('server_not_told', false);
    } catch (error) {
      this.#told = undefined;
      if (error instanceof TLSError && error.code === 'TLS_ERR_SECRET_ERASED') {
        // A flush came in between: these keys are not to be told any more.
        this.#isWanted = true;
        return;
      }
      this.#failures++;
      this.#failedAt = momentOf(this.#options.clock);
      this.#failed = this.#signatureOf(plan);
      this.#alarms.set('server_not_told', true, (error as Error).message);
    }
  }

  /** Keys that were left by an agent before go on for a while: the ring may send the same ones. */
  #isDue(plan: KeyPlan): boolean {
    const now = momentOf(this.#options.clock);
    if (plan.length === 0 && !this.#had && elapsed(this.#startedAt, now) < this.#options.patience) {
      return false;
    }
    // Keys that have ended meanwhile go from the files at once, however long the server cannot be told.
    const isSame = this.#failed === this.#signatureOf(plan);
    return this.#failedAt === undefined || !isSame || elapsed(this.#failedAt, now) >= this.#retryAfter;
  }

  async #isSettled(plan: KeyPlan): Promise<boolean> {
    return this.#told === this.#signatureOf(plan) && (await this.#options.driver.isUpToDate());
  }

  async #tell(plan: KeyPlan): Promise<void> {
    const { driver, onEvent } = this.#options;
    this.#had ||= plan.length > 0;
    this.#told = undefined;
    const told = await driver.apply(plan);
    this.#alarms.set('server_absent', told === 'absent');
    if (told === 'absent') {
      return;
    }
    this.#told = this.#signatureOf(plan);
    onEvent?.({
      kind: 'told',
      keys: plan.map(({ id, role, endsAt }) => ({ key: id, role, endsAt: Math.floor(endsAt) })),
    });
    if (plan.length > 0) {
      this.#isReady();
    }
  }

  #signatureOf(plan: KeyPlan): string {
    const { driver, plan: fleet, clock } = this.#options;
    if (plan.length > 0) {
      return plan
        .map(({ id, role }) => `${id} ${role}`)
        .sort()
        .join();
    }
    // What the server seals under meanwhile is changed as often as the ring's key would be.
    return driver.needsThrowaways ? `none ${Math.floor(clock.monotonic() / fleet.configuration.epochLength)}` : 'none';
  }

  #setAlarm(): void {
    if (this.#isWanted) {
      this.#isWanted = false;
      this.#alarm.set(COALESCE);
      return;
    }
    const retry = this.#failedAt === undefined ? Number.POSITIVE_INFINITY : this.#retryAfter;
    this.#alarm.set(Math.min(this.#checkInterval, this.#nextEnd + COALESCE, retry));
  }

  get #retryAfter(): number {
    return Math.min(this.#checkInterval, FIRST_RETRY * 2 ** Math.max(0, this.#failures - 1));
  }
}

/** Milliseconds. */
const COALESCE = 40;
/** How often it is looked whether the server was restarted, and whether old processes are gone. */
const CHECK_INTERVAL = 5_000;
const FIRST_RETRY = 250;
const SOON = 500;
