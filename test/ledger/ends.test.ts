/** That every secret's end is in the ledger, with a reason, whichever way it comes. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { TLSError } from '../../src/errors.ts';
import { KeyLedger, type LedgerEntry } from '../../src/ledger/key-ledger.ts';
import { LocalTicketKeys } from '../../src/session/local-ticket-keys.ts';
import { EarlyWorld } from '../early/support.ts';
import { SimulatedClock } from '../session/simulated-clock.ts';
import { type Endpoint, type Link, World } from '../support/connections.ts';
import { World12 } from '../support/world12.ts';

const ledger = new KeyLedger().start();
const world = new World();
const world12 = new World12();
const early = new EarlyWorld();

after(() => {
  ledger.stop();
  for (const one of [world, world12, early]) {
    one.close();
  }
});

function entriesOf({ connection }: Endpoint): readonly LedgerEntry[] {
  return ledger.entriesOf(connection.owner);
}

function reasons(at: Endpoint, kind: string): (string | undefined)[] {
  return entriesOf(at)
    .filter((entry) => entry.kind === kind)
    .map(({ why }) => why);
}

/** Nothing is left of either connection once its host has erased the sessions that it was given. */
function assertSettled(link: Link): void {
  for (const { secret } of [...link.client.sessions, ...link.client.sessions12]) {
    secret.erase();
  }
  for (const end of [link.client, link.server]) {
    for (const { kind, bornAt, endedAt, why } of entriesOf(end)) {
      assert.ok(endedAt !== undefined && why !== undefined && why !== '', `${kind} has ended`);
      assert.ok(endedAt >= bornAt);
    }
  }
  assert.ok(entriesOf(link.client).length > 0);
}

describe('the end of a secret has a reason', () => {
  const handshakes: readonly { readonly what: string; readonly begin: () => Link; readonly code: string }[] = [
    {
      what: 'a certificate that the client does not trust',
      begin() {
        const link = world.pair();
        link.client.verdict = new TLSError('TLS_ERR_UNKNOWN_CA', 'no');
        return link.run();
      },
      code: 'TLS_ERR_UNKNOWN_CA',
    },
    {
      what: 'a handshake message that is no message',
      begin() {
        const link = world.pair();
        link.toClient = (bytes) => bytes.map((byte, at) => (at === 5 ? 0xff : byte));
        return link.run();
      },
      code: 'TLS_ERR_UNEXPECTED_MESSAGE',
    },
    {
      what: 'no common version',
      begin: () => world.pair({ versions: ['TLSv1.3'] }, { versions: ['TLSv1.2'] }).run(),
      code: 'TLS_ERR_ALERT_RECEIVED',
    },
    {
      what: 'a transport that ends in the middle of a handshake',
      begin() {
        const link = world.pair();
        link.client.start();
        link.server.receive(link.client.flush());
        return link.cut();
      },
      code: 'TLS_ERR_TRUNCATED',
    },
    {
      what: 'a TLS 1.2 handshake that fails at its Finished',
      begin() {
        const link = world12.pair12('ticket');
        let flights = 0;
        link.toServer = (bytes) =>
          bytes.length > 0 && ++flights === 2
            ? bytes.map((byte, at) => (at > bytes.length - 4 ? byte ^ 1 : byte))
            : bytes;
        return link.run();
      },
      code: 'TLS_ERR_ALERT_RECEIVED',
    },
  ];
  for (const { what, begin, code } of handshakes) {
    test(`of ${what}: its code`, () => {
      const link = begin();
      assert.equal(link.client.error?.code, code, link.client.error?.stack);
      const whys = new Set(entriesOf(link.client).map(({ why }) => why));
      assert.ok(whys.has(code) || !whys.has('next key'), `of what is in use: ${[...whys].join(', ')}`);
      assertSettled(link);
    });
  }

  test('of an abort, at either end', () => {
    const link = world.connect();
    link.server.take(link.server.connection.abort('internal_error'));
    link.deliver();
    assert.ok(
      reasons(link.client, 'aeadKey').includes('TLS_ERR_ALERT_RECEIVED'),
      String(reasons(link.client, 'aeadKey')),
    );
    assertSettled(link);
  });

  test('of a HelloRetryRequest: the first key share was never used', () => {
    const link = world.connect({ keyShares: ['x25519'] }, { namedGroups: ['secp256r1'] });
    assert.equal(link.client.summary?.helloRetried, true);
    assert.deepEqual(reasons(link.client, 'keyShare'), ['unused', 'spent']);
    link.forget();
    assertSettled(link);
  });

  test('of a PSK that a HelloRetryRequest makes useless', () => {
    const first = world.connect();
    const [session] = first.client.sessions;
    const link = world.connect({ session, keyShares: ['x25519'] }, { namedGroups: ['secp256r1'] });
    assert.equal(link.server.summary?.helloRetried, true);
    assert.ok(
      reasons(link.server, 'resumptionPsk').includes('hello retried'),
      String(reasons(link.server, 'resumptionPsk')),
    );
    first.forget();
    link.forget();
    assertSettled(link);
  });

  test('of early data that is taken, and of early data that is refused', () => {
    const taken = early.early().deliver();
    assert.deepEqual(reasons(taken.client, 'CLIENT_EARLY_TRAFFIC_SECRET'), ['end of early data']);
    assert.equal(entriesOf(taken.server).filter(({ kind }) => kind === 'CLIENT_EARLY_TRAFFIC_SECRET').length, 1);
    const refused = early.early({ server: early.with(undefined) }).deliver();
    assert.deepEqual(reasons(refused.client, 'CLIENT_EARLY_TRAFFIC_SECRET'), ['refused']);
    for (const link of [taken, refused]) {
      link.assertComplete();
      const used = entriesOf(link.client).filter(
        ({ kind, parents }) => kind === 'aeadKey' && lineage(parents[0]).includes('CLIENT_EARLY_TRAFFIC_SECRET'),
      );
      assert.equal(used.length, 1);
      assert.ok((used[0].uses?.bytes ?? 0) > 5 && used[0].endedAt !== undefined, 'it protected the data');
      link.forget();
      assertSettled(link);
    }
  });

  test('of a KeyUpdate: the old secret and the old key, each time', () => {
    const link = world.connect();
    for (let i = 0; i < 3; i++) {
      link.client.take(link.client.connection.updateKeys(true));
      link.deliver();
      link.assertDataFlows();
    }
    for (const end of [link.client, link.server]) {
      for (const secret of ['CLIENT_TRAFFIC_SECRET', 'SERVER_TRAFFIC_SECRET']) {
        assert.deepEqual(reasons(end, secret), ['key update', 'key update', 'key update', undefined]);
      }
      const ofData = entriesOf(end).filter(
        ({ kind, parents }) =>
          kind === 'aeadKey' && /^(CLIENT|SERVER)_TRAFFIC_SECRET$/.test(lineage(parents[0])[1] ?? ''),
      );
      assert.deepEqual(ofData.map(({ why }) => why).sort(), [...Array(6).fill('next key'), undefined, undefined]);
    }
    link.forget();
    assertSettled(link);
  });

  test('of a ring: a key that is over, one that is flushed, one that is closed', () => {
    const clock = new SimulatedClock();
    const keys = new LocalTicketKeys({ provider, clock, rotateEvery: 60_000, ticketLifetime: 120_000 });
    const of = (kind: string) => ledger.entriesOf(keys.owner).filter((entry) => entry.kind === kind);
    keys.sealingKey(clock.now());
    clock.advance(60_000);
    keys.sealingKey(clock.now());
    clock.advance(60_000);
    keys.sealingKey(clock.now());
    assert.deepEqual(
      of('ticketKey12').map(({ why }) => why),
      ['expired', undefined, undefined],
    );
    assert.deepEqual(
      of('ticketKey').map(({ why }) => why),
      [undefined, undefined, undefined],
    );
    clock.advance(60_000);
    keys.sealingKey(clock.now());
    assert.equal(of('ticketKey')[0].why, 'expired');
    keys.flush();
    assert.deepEqual(
      of('ticketKey').map(({ why }) => why),
      ['expired', 'flush', 'flush', 'flush', undefined],
    );
    keys.close();
    assert.ok([...of('ticketKey'), ...of('ticketKey12')].every(({ endedAt }) => endedAt !== undefined));
    assert.equal(of('ticketKey').at(-1)?.why, 'close');
  });

  test('of the process: whatever lived is told to have ended before its last listener runs', () => {
    const tls = pathToFileURL(join(import.meta.dirname, '..', '..', 'src', 'node', 'tls.js')).href;
    const support = pathToFileURL(join(import.meta.dirname, '..', 'node', 'support.js')).href;
    const code = `
      import { once } from 'node:events';
      import { connect, createServer, startKeyLedger } from ${JSON.stringify(tls)};
      import { listen, serverOptions, trust } from ${JSON.stringify(support)};
      const ledger = startKeyLedger();
      const server = createServer(serverOptions, (socket) => socket.write('x'));
      const client = connect({ port: await listen(server), host: '127.0.0.1', servername: 'localhost', ...trust });
      await once(client, 'data');
      const alive = () => [...ledger.entries].filter(({ endedAt }) => endedAt === undefined);
      const before = alive().map(({ id }) => id);
      process.on('exit', () => console.log(JSON.stringify([before.map((id) => ledger.entry(id).why), alive().length])));
      process.exit();`;
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
    const [whys, left] = JSON.parse(printed) as [string[], number];
    assert.ok(whys.length >= 12, `${whys.length} lived: two ends with five each, and the ring`);
    assert.equal(left, 0);
    assert.deepEqual([...new Set(whys)].sort(), ['close', 'closed', 'exit']);
  });
});

/** Kinds from an entry up. */
function lineage(entry: LedgerEntry | undefined): string[] {
  return entry === undefined ? [] : [entry.kind, ...lineage(entry.parents.at(-1))];
}
