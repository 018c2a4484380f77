/** What must hold in a simulated fleet whatever happens. Each failure throws with the rule that was broken. */

import assert from 'node:assert/strict';
import { toHex } from '../../src/bytes/bytes.ts';
import { ringId } from '../../src/fleet/configuration.ts';
import { isEvicted } from '../../src/fleet/generation.ts';
import type { RingStatus } from '../../src/fleet/member-status.ts';
import { type EpochRecord, openEpochRecord } from '../../src/fleet/records/epoch.ts';
import { openMemberRecord } from '../../src/fleet/records/member.ts';
import { RingTrust } from '../../src/fleet/records/signed.ts';
import { openWelcomeRecord } from '../../src/fleet/records/welcome.ts';
import type { SecretLedger } from './secret-ledger.ts';
import { HOUR, MINUTE, type Node, type World } from './world.ts';

const LONG_ENOUGH = 26 * HOUR;
/** What one held key consists of besides the secret: `ticketKeyUses`. */
const WORKING_KEYS = 3;

export class Invariants {
  /** Member ids (hex) that were ordered to be evicted. */
  readonly evictions = new Set<string>();
  orders = 0;
  readonly #world: World;
  readonly #ledger: SecretLedger;
  /** First 4 bytes of the ids of all keys that members made, and the generation they made them for. */
  readonly #made = new Map<string, number>();
  /** Ids of fresh keys that a process ever held. */
  readonly #everHeld = new Map<string, Set<string>>();
  #storeAhead = 0;
  #storeBehind = 0;
  #nodeAhead = 0;
  #nodeBehind = 0;
  /** For each process whose clock was right once: how far its monotonic clock lagged then. */
  readonly #agreed = new Map<string, number>();

  constructor(world: World, ledger: SecretLedger) {
    this.#world = world;
    this.#ledger = ledger;
    world.watch = (node) => this.#afterCall(node);
  }

  /** How long disturbed members may take to have all keys again. */
  get grace(): number {
    return (14 + 3 * this.#world.nodes.length) * this.#world.heartbeat;
  }

  check(): void {
    this.#noteClocks();
    for (const node of this.#world.nodes) {
      if (node.running && node.asleepUntil <= this.#world.time) {
        this.#checkDeadlines(node);
        this.#checkGeneration(node);
        this.#checkOpenable(node);
      }
    }
  }

  /** After a long enough time without any fault. */
  checkConverged(): void {
    const running = this.#world.nodes.filter((node) => node.running);
    const keys = running.map((node) => this.#world.sealing(node));
    const names = keys.map((key) => (key === undefined ? 'none' : `${key.id} depth ${key.depth}`));
    assert.equal(new Set(names).size <= 1, true, `members converge to one sealing key: ${names.join(', ')}`);
    for (const [index, key] of keys.entries()) {
      assert(key?.fresh, `${running[index].name} seals under a fresh key once all is well: ${names[index]}`);
      for (const node of running) {
        assert(this.#world.opens(node, key.id), `${node.name} opens what ${running[index].name} seals`);
      }
      // An order may be lost with who gave it, or refused because that one was evicted first: but all know the same.
      const evicted = this.#statusOf(running[index])?.evicted ?? [];
      assert.deepEqual(evicted, this.#statusOf(running[0])?.evicted, 'all agree on who is evicted');
      for (const node of this.#world.nodes) {
        if (evicted.includes(toHex(node.file.identity.memberId).slice(0, 8))) {
          assert(!this.#everHeld.get(this.#life(node))?.has(key.id), `${node.name} is evicted and has no later key`);
        }
      }
    }
  }

  /** What the store ever saw. Costly: once per run. */
  checkHistory(): void {
    const records = [...new Set(this.#world.store.history.map(({ bytes }) => bytes))];
    assert.deepEqual(this.#ledger.foundIn(records), [], 'no secret ever reaches the store');
    const { provider, configuration } = this.#world;
    const trust = new RingTrust(provider, ringId(provider, configuration), configuration.allowList);
    const memberOf = new Map<string, string>();
    for (const bytes of records) {
      const record = openMemberRecord(trust, configuration.kem, bytes);
      if (typeof record !== 'string') {
        memberOf.set(toHex(record.instanceId), toHex(record.memberId));
      }
    }
    for (const bytes of records) {
      const opened = [
        openEpochRecord(trust, configuration.kem, bytes),
        openWelcomeRecord(trust, configuration.kem, bytes),
      ].find((record) => typeof record !== 'string');
      if (opened === undefined || typeof opened === 'string') {
        continue;
      }
      if (isEvicted(opened.generation, opened.memberId)) {
        // By the test's own forger.
        continue;
      }
      const recipients = 'envelopes' in opened ? (opened as EpochRecord).envelopes : [opened];
      for (const { instanceId } of recipients) {
        const recipient = memberOf.get(toHex(instanceId)) ?? '';
        const evicted = opened.generation.evicted.some((id) => toHex(id) === recipient);
        assert(!evicted, 'nothing is sealed to a member that its maker knows to be evicted');
      }
    }
  }

  /** Right after a member was called: nothing is over by its own clocks, and nothing lies about. */
  #afterCall(node: Node): void {
    for (const event of node.events.splice(0)) {
      if (event.kind === 'epoch_made') {
        this.#made.set(event.key, node.member?.generation ?? 0);
      }
    }
    const alive = this.#ledger.alive(node.name);
    const life = this.#life(node);
    const held = this.#everHeld.get(life) ?? new Set();
    this.#everHeld.set(life, held);
    let secrets = 0;
    let workings = 0;
    for (const key of this.#world.opening(node)) {
      secrets += key.hasSecret ? 1 : 0;
      for (const target of ['mayfly-name', 'mayfly', 'mayfly-12'] as const) {
        workings += key.workingSecret('default', target)?.erased === false ? 1 : 0;
      }
      const madeFor = this.#made.get(key.root.id.slice(0, 8));
      assert(madeFor !== undefined, `${node.name} holds a key that no member made`);
      assert.equal(madeFor, key.generation, `${node.name} holds a key of another generation`);
      held.add(key.id);
    }
    const count = (kind: string) => alive.filter((known) => known.kind === kind).length;
    const pending = count('epochSecret') - secrets;
    assert(pending === 0 || pending === 1, `${node.name}: ${pending} secrets are alive that no key in use has`);
    assert.equal(
      count('ringWorkingKey') - workings,
      pending * WORKING_KEYS,
      `${node.name}: working keys outlive their key`,
    );
    // Envelopes made ready, a key and a nonce for each other process, if only lately ended: there is nothing in them yet.
    const processes = this.#world.nodes.reduce((sum, { life: count }) => sum + count, 0);
    const ready = count('aeadKey');
    assert.equal(count('kemSecret'), ready, `${node.name}: one nonce for each key`);
    assert(ready <= (node.running ? processes : 0), `${node.name}: ${ready} envelopes are ready`);
    const passing = alive.length - count('epochSecret') - count('ringWorkingKey') - 2 * ready;
    assert.equal(passing, 0, `${node.name}: passing secrets are alive`);
  }

  #checkGeneration(node: Node): void {
    const status = this.#statusOf(node);
    // A merge of two views may count one more than the orders.
    assert((status?.generation ?? 0) <= 2 * this.orders, `${node.name} follows an order that nobody gave`);
    const ordered = new Set([...this.evictions].map((id) => id.slice(0, 8)));
    assert(status?.evicted.every((name) => ordered.has(name)) !== false, 'a member is evicted that nobody evicted');
  }

  /** A key's end cannot be known while both clocks are wrong at once, or one of them and the store's by as much. */
  #tolerance({ monotonicLag, setBack }: Node): number {
    return (
      2 * this.#world.configuration.maxSkew +
      5_000 +
      Math.min(monotonicLag, setBack) +
      Math.min(this.#storeAhead, this.#nodeAhead) +
      Math.min(this.#storeBehind, this.#nodeBehind)
    );
  }

  #checkDeadlines(node: Node): void {
    const { time, configuration } = this.#world;
    const { ticketLifetime12 } = configuration;
    const tolerance = this.#tolerance(node);
    const now = this.#world.moment(node);
    for (const key of this.#world.opening(node)) {
      const { sealUntil, destroyAt, createdAt } = key.times;
      assert(time < destroyAt + tolerance, `${node.name} opens under a key ${time - destroyAt} ms after its end`);
      assert(time < createdAt + 24 * HOUR + tolerance, `${node.name} has a key for more than a day`);
      if (key.working('default', 'mayfly-12', now) !== undefined) {
        assert(time < sealUntil + ticketLifetime12 + tolerance, `${node.name} opens TLS 1.2 tickets after their end`);
      }
      if (key.state(now) === 'sealing' || key.state(now) === 'waiting') {
        assert(time < sealUntil + tolerance, `${node.name} seals ${time - sealUntil} ms after its end`);
      }
      if (key.hasSecret && node.wakeAt > time) {
        assert(time < sealUntil + tolerance, `${node.name} keeps an epoch's secret after its end`);
      }
    }
    const sealing = this.#world.sealing(node);
    assert(sealing === undefined || sealing.generation === node.member?.generation, 'no key outlives an order');
  }

  #checkOpenable(sealer: Node): void {
    const key = this.#world.sealing(sealer);
    if (key === undefined) {
      return;
    }
    for (const opener of this.#world.nodes) {
      if (!opener.running || opener === sealer || opener.asleepUntil > this.#world.time) {
        continue;
      }
      // Who has not heard of an order yet goes on for a heartbeat; nobody can open that, which is what the order is for.
      const together = opener.member?.generation === key.generation;
      if (key.fresh && together && this.#isSettled(sealer) && this.#isSettled(opener)) {
        assert(
          this.#world.opens(opener, key.id),
          `${opener.name} cannot open what ${sealer.name} seals under ${key.id} (epoch ${key.epoch})`,
        );
      }
      const hadRoot = this.#everHeld.get(this.#life(opener))?.has(key.root.id) === true;
      const sane = this.#isSane(sealer) && this.#isSane(opener);
      if (hadRoot && sane && together) {
        assert(
          this.#world.opens(opener, key.id),
          `${opener.name} had the key that ${sealer.name} went on from, and cannot open (depth ${key.depth})`,
        );
      }
    }
  }

  /** Connected and undisturbed for so long that it must have everything. */
  #isSettled(node: Node): boolean {
    const { time, honestSince } = this.#world;
    const since = Math.max(node.undisturbedSince, honestSince);
    return node.running && node.connected && time - since > this.grace && this.#behind(node) < 20 * MINUTE;
  }

  /** By how much all that a node goes by is behind: its prekeys seem over to others when it is half an epoch. */
  #behind(node: Node): number {
    const lag = this.#agreed.get(this.#life(node));
    return Math.min(-node.wallOffset, lag === undefined ? Number.POSITIVE_INFINITY : node.monotonicLag - lag);
  }

  /** Its clocks, and the store's, were right for so long that no deadline of today was reckoned by wrong ones. */
  #isSane(node: Node): boolean {
    const { time, configuration } = this.#world;
    const rightSince = Math.max(node.clockFaultAt, this.#world.storeClockFaultAt);
    return time - rightSince > LONG_ENOUGH && Math.abs(node.wallOffset) <= configuration.maxSkew;
  }

  #noteClocks(): void {
    const { store, time, nodes } = this.#world;
    const off = store.time(time) - time;
    const lies = [0, ...store.lies.values()];
    this.#storeAhead = Math.max(this.#storeAhead, off + Math.max(...lies));
    this.#storeBehind = Math.max(this.#storeBehind, -off - Math.min(...lies));
    for (const node of nodes) {
      const { wallOffset } = node;
      if (Math.abs(wallOffset) <= this.#world.configuration.maxSkew && this.#isSettled(node)) {
        this.#agreed.set(this.#life(node), node.monotonicLag);
      }
      this.#nodeAhead = Math.max(this.#nodeAhead, wallOffset);
      this.#nodeBehind = Math.max(this.#nodeBehind, -wallOffset);
    }
  }

  #statusOf(node: Node): RingStatus | undefined {
    return node.member?.status(this.#world.moment(node));
  }

  #life(node: Node): string {
    return `${node.name} ${node.life}`;
  }
}
