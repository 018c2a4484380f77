/**
 * The theft test: a fleet runs for several epochs while somebody records everything; then that somebody tries to open the
 * past. First with what can be stolen without breaking into a running process, which must open nothing. Then the very same
 * code is given one live member's memory, which must open the live window and nothing else: so the first half could fail.
 *
 *     MAYFLY_THEFT=real        leaves all clocks alone: the same in a minute, with Redis's own TIME
 *     MAYFLY_THEFT=thorough    tries every offset of everything as a ticket key too: a minute or two
 *
 * docs/theft.md
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { concat, toHex } from '../../src/bytes/bytes.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { skipUnless } from '../support/tools.ts';
import { Attacker, type Findings } from './attacker.ts';
import { keyNameOf } from './conversation.ts';
import { EPOCH, Fleet, type Kind, type Version, type Visit } from './fleet.ts';
import { theftTable } from './table.ts';

type KeyNames = Readonly<Record<Version, ReadonlySet<string>>>;

const EPOCHS = 5;
const kinds: readonly Kind[] = ['TLSv1.3', 'TLSv1.2', 'TLSv1.2 by ID'];

describe('a theft', { ...skipUnless('redis-server'), timeout: 300_000 }, () => {
  let fleet: Fleet;
  let thief: Attacker;
  /** Taken at one moment, as the last epoch has begun. */
  let stolen: { readonly epoch: number; readonly memory: readonly Uint8Array[]; readonly keys: KeyNames };
  /** Number of the connection by psk_ke. */
  let careless: number;
  const newest = new Map<Kind, Visit>();
  const table = theftTable();

  before(async () => {
    fleet = await Fleet.start();
    thief = new Attacker(fleet.configuration);
  });
  after(() => fleet?.close());

  test('is prepared: a fleet of three serves through five epochs, and everything is recorded', async (t) => {
    for (let epoch = 0; epoch < EPOCHS; epoch++) {
      if (epoch > 0) {
        await fleet.nextEpoch();
      }
      // The theft is to happen early in the last one.
      await clientsComeAndGo(epoch === EPOCHS - 1 ? [0] : undefined);
      await fleet.redis.copyImage();
    }
    await fleet.pass(0.2 * EPOCH);
    await carelessVisit();
    const [robbed] = fleet.rings;
    stolen = {
      epoch: fleet.epoch,
      memory: [...fleet.memoryOf(robbed), ...fleet.glasses[0].privateKeys],
      keys: fleet.keysHeldBy(robbed),
    };
    const resumed = fleet.visits.filter((visit) => visit.resumed);
    assert(resumed.length > fleet.visits.length / 2, 'most connections resume, at either server');
    assert.equal(fleet.epochOfKey.size, EPOCHS, 'each epoch had a sealing key of its own');
    const { commands, files } = await fleet.redis.history();
    const bytes = [...commands.flat(), ...files].reduce((sum, { length }) => sum + length, 0);
    t.diagnostic(
      `recorded: ${fleet.visits.length} connections (${resumed.length} resumed), ${commands.length} commands, ` +
        `${files.length} files of Redis, ${bytes} bytes of the store`,
    );
  });

  test('of all that the store and the network ever saw opens nothing', async () => {
    thief.listen(fleet.conversations).stealStore(await fleet.redis.history());
    assertNothingOpened(thief.findings);
    table.add('the store’s whole history, all traffic', thief, fleet);
  });

  test('of every configuration, every identity and the certificate’s key as well opens nothing', () => {
    thief.stealFiles(fleet.stolenFiles);
    assertNothingOpened(thief.findings);
    assert(thief.attempts.envelopes > 0, 'identities were tried on envelopes');
    table.add('+ all files, identities, certificate key', thief, fleet);
  });

  test('of one live member’s memory opens the tickets of the live window, and no older one', () => {
    thief.stealMemory(stolen.memory);
    assert.deepEqual(epochsOf(stolen.keys['TLSv1.3']), [2, 3, 4], 'a ticket of TLS 1.3 lives for two epochs');
    assert.deepEqual(epochsOf(stolen.keys['TLSv1.2']), [3, 4], 'and one of TLS 1.2 for one');
    const expected = ticketsUnder(stolen.keys);
    assert(expected.size > 0);
    assert.deepEqual(thief.findings.tickets, expected);
    table.add('+ one live member’s memory at t', thief, fleet);
  });

  test('opens the TLS 1.2 connections whose master secret lay in those tickets, and no others', () => {
    const { connections } = thief.findings;
    assert.deepEqual(new Set(connections.keys()), connectionsBehind(stolen.keys['TLSv1.2']).add(careless));
    assert(connections.size > 0);
    for (const [number, content] of connections) {
      assert.equal(Buffer.from(content).toString(), fleet.visits[number].said);
    }
    const epochs = [...connections.keys()].map((number) => fleet.visits[number].epoch);
    const [oldest] = epochsOf(stolen.keys['TLSv1.2']);
    assert(
      Math.min(...epochs) >= oldest && oldest > 0,
      'no session from before the oldest key: no ticket was renewed under a later one',
    );
  });

  test('knows the PSKs of TLS 1.3 in the window for sure, and still opens no such connection, but for one by psk_ke', () => {
    const { psks, connections } = thief.findings;
    assert(psks.size > 1, 'binders verify');
    assert(psks.has(careless) && connections.has(careless), 'there was no key exchange');
    for (const number of [...psks].filter((one) => one !== careless)) {
      assert.equal(fleet.visits[number].kind, 'TLSv1.3');
      assert(!connections.has(number), 'psk_dhe_ke: the key exchange is missing');
    }
  });

  test('heals: once the thief is out, keys one fresh epoch later are closed to him', async () => {
    const before = thief.findings.tickets;
    const outSince = stolen.epoch;
    for (let i = 0; i < 3; i++) {
      await fleet.nextEpoch();
      await clientsComeAndGo();
    }
    thief.listen(fleet.conversations).stealStore(await fleet.redis.history());
    const { tickets, connections } = thief.findings;
    const gained = [...tickets].filter((ticket) => !before.has(ticket));
    for (const ticket of gained) {
      const epoch = fleet.epochOfKey.get(keyNameOf(Buffer.from(ticket, 'hex'))) as number;
      assert(epoch <= outSince + 1, `a ticket of epoch ${epoch} opened, ${epoch - outSince} after the theft`);
    }
    const healed = fleet.visits.flatMap((visit, number) => (visit.epoch >= outSince + 3 ? [number] : []));
    assert(healed.length > 0);
    assert.deepEqual(
      healed.filter((number) => connections.has(number)),
      [],
    );
    table.add('  three epochs after he is out', thief, fleet);
  });

  test('would have opened every epoch, had members kept the private parts of their prekeys', async () => {
    const control = new Attacker(fleet.configuration);
    control.listen(fleet.conversations).readStore(await fleet.redis.history());
    assertNothingOpened(control.findings);
    control.stealMemory(fleet.glasses.flatMap(({ privateKeysEver }) => privateKeysEver));
    const everyKey = new Set(fleet.epochOfKey.keys());
    assert.deepEqual(control.findings.tickets, ticketsUnder({ 'TLSv1.3': everyKey, 'TLSv1.2': everyKey }));
    table.add('(control: had no prekey been erased)', control, fleet);
  });

  test('would have found an epoch’s secret anywhere in the store', async () => {
    await fleet.nextEpoch();
    await clientsComeAndGo([0]);
    const control = new Attacker(fleet.configuration);
    const { commands } = await fleet.redis.history();
    control.listen(fleet.conversations).readStore({ commands, files: [] });
    const planted = concat(randomBytes(1_001), fleet.sealingSecretOf(fleet.rings[1]), randomBytes(333));
    control.stealStore({ commands: [], files: [planted] });
    const [name] = [...fleet.epochOfKey].find(([, epoch]) => epoch === fleet.epoch) ?? [];
    const names = new Set([name as string]);
    assert.deepEqual(control.findings.tickets, ticketsUnder({ 'TLSv1.3': names, 'TLSv1.2': names }));
    assert(control.findings.tickets.size > 0);
  });

  test('of an identity lets its thief join, seen by all, and opens nothing from before', async () => {
    await fleet.nextEpoch();
    await clientsComeAndGo([0]);
    const thiefOfIdentity = new Attacker(fleet.configuration);
    const joined = await fleet.join(fleet.identities[2], nodeProvider);
    await fleet.until('he is welcomed', () => joined.ticketKeys('default').sealingKey() !== undefined);
    const given = fleet.keysHeldBy(joined);
    const memory = fleet.memoryOf(joined);
    await fleet.until('the others see him', () => fleet.rings[0].status().alarms.includes('identity_shared'));
    assert.equal(fleet.rings[0].status().members.length, 3, 'beside itself: one too many');
    thiefOfIdentity.listen(fleet.conversations).readStore(await fleet.redis.history());
    assertNothingOpened(thiefOfIdentity.findings);
    thiefOfIdentity.stealMemory(memory);
    assert.deepEqual(epochsOf(given['TLSv1.3']), [fleet.epoch], 'the running epoch’s key');
    assert.deepEqual(thiefOfIdentity.findings.tickets, ticketsUnder(given));
    table.add('an identity, used to join (alarm)', thiefOfIdentity, fleet);

    await fleet.rings[0].evict(fleet.identities[2].identity.memberId);
    await fleet.until('he is out', () => joined.member.phase === 'evicted');
    fleet.closeRing(2);
    await fleet.until('the others seal again', () =>
      [0, 1].every((index) => {
        const { sealingKey, generation } = fleet.rings[index].status();
        return sealingKey !== undefined && generation === 1;
      }),
    );
    const opened = thiefOfIdentity.findings;
    newest.clear();
    await fleet.nextEpoch();
    await clientsComeAndGo();
    thiefOfIdentity.listen(fleet.conversations).readStore(await fleet.redis.history());
    assert.deepEqual(thiefOfIdentity.findings, opened, 'after his eviction he learns nothing more');
    table.add('  after his eviction', thiefOfIdentity, fleet);
  });

  test('in figures', (t) => {
    for (const line of table.lines) {
      t.diagnostic(line);
    }
    assert.equal(table.rows, 7);
  });

  /** By ticket in both versions and by session ID, and late in the epoch once more: a client that has been here, and one that comes for the first time. */
  async function clientsComeAndGo(waits: readonly number[] = [0, 0.6 * EPOCH]): Promise<void> {
    for (const wait of waits) {
      await fleet.pass(wait);
      for (const kind of kinds) {
        const previous = newest.get(kind);
        if (previous !== undefined) {
          await fleet.visit(kind, previous);
        }
        const first = await fleet.visit(kind);
        assert(!first.resumed);
        const again = await fleet.visit(kind, first);
        assert(again.resumed, 'at the other server');
        newest.set(kind, again);
      }
    }
  }

  /** One server allows what no server does by default: a PSK without a key exchange. */
  async function carelessVisit(): Promise<void> {
    const port = await fleet.serve(fleet.rings[1], { dangerouslyAllowPskKe: 'prefer' });
    fleet.tap.next(port);
    const visit = await fleet.visit('TLSv1.3', newest.get('TLSv1.3'), { dangerouslyAllowPskKe: true });
    assert(visit.resumed);
    careless = fleet.visits.indexOf(visit);
    table.careless = careless;
  }

  /** Of ticket keys, those under which a ticket was sealed: epochs since the first. */
  function epochsOf(names: ReadonlySet<string>): readonly number[] {
    const epochs = [...names].map((name) => fleet.epochOfKey.get(name));
    return epochs.filter((epoch) => epoch !== undefined).sort((a, b) => a - b);
  }

  function assertNothingOpened({ epochSecrets, tickets, stored, connections, psks }: Findings): void {
    assert.equal(epochSecrets, 0);
    assert.equal(tickets.size, 0);
    assert.equal(stored.size, 0);
    assert.equal(connections.size, 0);
    assert.equal(psks.size, 0);
  }

  /** All recorded tickets that these keys sealed. */
  function ticketsUnder(names: KeyNames): ReadonlySet<string> {
    return new Set(
      fleet.conversations.flatMap(({ version, tickets }) =>
        tickets.filter((ticket) => names[version].has(keyNameOf(ticket))).map(toHex),
      ),
    );
  }

  /** The TLS 1.2 connections of each session that has a ticket, or lies in the store, under one of those. */
  function connectionsBehind(names: ReadonlySet<string>): Set<number> {
    const sessions = new Set<number>();
    for (const [number, { tickets }] of fleet.conversations.entries()) {
      const { kind, began } = fleet.visits[number];
      const stored = kind === 'TLSv1.2 by ID' && epochsOf(names).includes(fleet.visits[began].epoch);
      if (stored || (kind === 'TLSv1.2' && tickets.some((ticket) => names.has(keyNameOf(ticket))))) {
        sessions.add(began);
      }
    }
    return new Set(fleet.visits.flatMap(({ began }, number) => (sessions.has(began) ? [number] : [])));
  }
});
