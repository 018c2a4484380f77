/** What `explainPolicy` says of a theft, done: connections are recorded, secrets are stolen, and the thief tries them on all. */

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { concat, utf8 } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import type { ClientOptions, ServerOptions } from '../../src/connection-options.ts';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { cipherSuites } from '../../src/crypto/suites.ts';
import { EarlySecret } from '../../src/keys/ladder.ts';
import { TrafficSecret } from '../../src/keys/traffic.ts';
import { explainTheft } from '../../src/policy/explain.ts';
import { resolvePolicy } from '../../src/policy/policy.ts';
import { openFromStore, sealForStore } from '../../src/session/external-session-cache.ts';
import { openTicket } from '../../src/session/ticket.ts';
import type { TicketKey } from '../../src/session/ticket-key.ts';
import { secretMakers } from '../autopsy/testimony.ts';
import { EarlyWorld, PING } from '../early/support.ts';
import { externalPsk, pskContext } from '../psk/support.ts';
import { sessionState12 } from '../session/fixtures.ts';
import { type Link, World } from '../support/connections.ts';
import { World12 } from '../support/world12.ts';
import { openTls12, openTls13 } from '../theft/breaker.ts';
import { type Conversation, readConversation, type WireRecord } from '../theft/conversation.ts';

const SUITE = cipherSuites.TLS_AES_128_GCM_SHA256;
const NOTHING = new Uint8Array(0);
const HOUR = 3_600_000;

const world = new World();
const world12 = new World12();
const early = new EarlyWorld();
after(() => {
  for (const one of [world, world12, early]) {
    one.close();
  }
});

/** All that goes over the wire of this link from now on. */
function tap(link: Link): () => Conversation {
  const up: Uint8Array[] = [];
  const down: Uint8Array[] = [];
  const { toServer, toClient } = link;
  link.toServer = (bytes) => {
    up.push(Uint8Array.from(bytes));
    return toServer(bytes);
  };
  link.toClient = (bytes) => {
    down.push(Uint8Array.from(bytes));
    return toClient(bytes);
  };
  return () => readConversation({ fromClient: concat(...up), fromServer: concat(...down) });
}

function recorded(one: World, client: Partial<ClientOptions>, server: Partial<ServerOptions>): [Link, Conversation] {
  const link = one.pair(client, server);
  const conversation = tap(link);
  link.run().assertComplete();
  return [link, conversation()];
}

/** Of a record of TLS 1.3 under the keys of this traffic secret, by the book. */
function openRecord(secret: TrafficSecret, { header, fragment }: WireRecord, sequence: number): Uint8Array | undefined {
  const { writeKey, writeIv } = secret.trafficKeys();
  const nonce = Uint8Array.from(writeIv.expose());
  nonce[11] ^= sequence;
  const aead = provider.aead(SUITE.aead, writeKey.expose());
  return aead.open(nonce, header, fragment);
}

describe('a theft of', () => {
  it('external PSKs opens what had no key exchange, and nothing else', () => {
    const psk = externalPsk('device');
    const bytes = Uint8Array.from(psk.externalPsk.expose());
    const [link, exchanged] = recorded(world, { externalPsks: [psk] }, { context: pskContext(world, [psk]) });
    const context = pskContext(world, [psk], { dangerouslyAllowPskKe: 'prefer' });
    const [other, alone] = recorded(world, { externalPsks: [psk], dangerouslyAllowPskKe: true }, { context });
    assert.equal(link.client.summary?.pskMode, 'psk_dhe_ke');
    assert.equal(other.client.summary?.pskMode, 'psk_ke');
    assert.equal(openTls13(exchanged, bytes, NOTHING), undefined);
    assert.equal(Buffer.from(openTls13(alone, bytes, NOTHING) ?? []).toString(), 'down 0');
    const pasts = [false, 'prefer'] as const;
    assert.deepEqual(
      pasts.map(
        (dangerouslyAllowPskKe) => explainTheft(resolvePolicy({ dangerouslyAllowPskKe }), 'externalPsks').past.tls13,
      ),
      [0, Number.POSITIVE_INFINITY],
    );
    link.forget();
    other.forget();
  });

  it('a cache of sessions outside opens nothing without the ticket keys, and with them what they open until they end', () => {
    const { clock, keys } = world12;
    const [link, conversation] = recorded(
      world12,
      { versions: ['TLSv1.2'] },
      { versions: ['TLSv1.2'], context: world12.byId },
    );
    const [session] = link.client.sessions12;
    const sessionId = utf8('the session');
    const issuedAt = clock.now();
    const state = { ...sessionState12({ issuedAt, authenticatedAt: issuedAt }), secret: session.secret.clone() };
    const value = sealForStore({ provider, keys, sessionId, state, now: issuedAt });
    assert.ok(value);
    const inside = Buffer.from(session.secret.expose());
    assert.ok(!Buffer.from(value).includes(inside.subarray(0, 8)), 'nothing of it lies there in the clear');
    const other = new World12();
    assert.equal(openFromStore({ provider, keys: other.keys, sessionId, value, now: issuedAt }).state, undefined);
    other.close();

    const openedWith = (): Uint8Array | undefined => {
      const key = keys.openingKey(value.subarray(1, 17), clock.now());
      return key === undefined ? undefined : contentWith(key);
    };
    /** The thief keeps to no times. */
    const contentWith = ({ secret12, ...key }: TicketKey): Uint8Array | undefined => {
      if (secret12.erased) {
        return undefined;
      }
      const stolen = { ...key, secret12: secret12.clone(), openUntil: Infinity, openUntil12: Infinity };
      const source = { sealingKey: () => undefined, openingKey: () => stolen, status: () => [] };
      const { state: found } = openFromStore({ provider, keys: source, sessionId, value, now: issuedAt });
      return found && openTls12(conversation, found.secret.expose());
    };
    const { past } = explainTheft(resolvePolicy('default'), 'ticketKeys');
    assert.equal(Buffer.from(openedWith() ?? []).toString(), 'down 0');
    clock.advance(HOUR);
    assert.equal(Buffer.from(openedWith() ?? []).toString(), 'down 0');
    clock.advance(past.tls12 - HOUR);
    assert.equal(openedWith(), undefined, `after ${past.tls12} ms nobody has the key any more`);
    assert.deepEqual(explainTheft(resolvePolicy('default'), 'externalCache').past.tls12, 0);
    link.forget();
  });

  it('the ticket keys opens early data, until they end, and no other data of the same connection', () => {
    const { clock, keys } = early;
    const link = early.early();
    const conversation = tap(link);
    link.deliver().assertComplete();
    const { rawClientHello, sealed, clientHello } = conversation();
    const ticket = clientHello.extensions.preSharedKey?.identities[0].identity as Uint8Array;
    const openedAt = (): string | undefined => {
      const { state } = openTicket({ provider, keys, ticket, now: clock.now() });
      if (state === undefined) {
        return undefined;
      }
      const psk = Uint8Array.from(state.secret.expose());
      state.secret.erase();
      assert.equal(openTls13(conversation(), psk, NOTHING), undefined, 'the rest had a key exchange');
      const ladder = EarlySecret.create(provider, SUITE.hash, Secret.copy('psk', psk));
      const traffic = ladder.clientEarlyTrafficSecret(SUITE, provider.hash(SUITE.hash, rawClientHello));
      const content = openRecord(traffic, sealed.client[0], 0);
      return content && Buffer.from(content.subarray(0, -1)).toString();
    };
    assert.equal(openedAt(), Buffer.from(PING).toString());
    const { past } = explainTheft(resolvePolicy({ earlyData: true }), 'ticketKeys');
    assert.equal(past.earlyData, 3 * HOUR);
    clock.advance(past.earlyData);
    assert.equal(openedAt(), undefined);
    link.forget();
  });

  it('the whole memory opens of TLS 1.3 what came after the last KeyUpdate, and nothing of a connection that had ended', () => {
    const memory = new Memory();
    try {
      const ended = world.pair();
      const recordedEnded = tap(ended);
      ended.run().assertComplete();
      ended.client.take(ended.client.connection.close());
      ended.deliver();
      ended.server.take(ended.server.connection.close());
      ended.deliver();
      const open = world.pair();
      const recordedOpen = tap(open);
      open.run().assertComplete();
      const before = recordedOpen().sealed.client.length;
      open.client.take(open.client.connection.updateKeys(true));
      open.deliver().assertDataFlows();
      const stolen = memory.steal();
      assert.ok(stolen.length >= 8, `${stolen.length} secrets live`);
      open.assertDataFlows();

      const opens = ({ sealed }: Conversation): number[] =>
        sealed.client.flatMap((record, at) => (stolen.some((bytes) => openedBy(bytes, record)) ? [at] : []));
      assert.deepEqual(opens(recordedEnded()), []);
      const opened = opens(recordedOpen());
      const all = recordedOpen().sealed.client.length;
      // The KeyUpdate itself is still under the old key.
      assert.deepEqual(
        opened,
        Array.from({ length: all - before - 1 }, (_, i) => before + 1 + i),
      );
      assert.ok(opened.length >= 2, 'also what follows the theft');
      open.forget();
      ended.forget();
    } finally {
      memory.close();
    }
  });

  it('the whole memory opens of TLS 1.2 all of an open connection, and of one that ended what a session keeps', () => {
    const memory = new Memory();
    try {
      const versions = { versions: ['TLSv1.2'] } as const;
      const stage = (context: Partial<ServerOptions>) => recorded(world12, versions, { ...versions, ...context });
      const [open, conversation] = stage({ context: { ...world12.context, tickets: undefined } });
      const [kept, keptConversation] = stage({ context: world12.byId });
      const [gone, goneConversation] = stage({ context: { ...world12.context, tickets: undefined } });
      for (const { client, server } of [kept, gone]) {
        client.forget();
        server.connection.erase();
      }
      const cached = world12.cache.get(keptConversation.serverHello.legacySessionIdEcho, world12.now());
      assert.ok(cached);
      const stolen = memory.steal();
      cached.secret.erase();
      const opened = [conversation, keptConversation, goneConversation].map((one) =>
        stolen.some((bytes) => windows(bytes, 48).some((window) => openTls12(one, window) !== undefined)),
      );
      assert.deepEqual(opened, [true, true, false]);
      open.forget();
    } finally {
      memory.close();
    }
  });
});

/** A traffic secret that was tried on a record, whichever of its first records that is. */
function openedBy(bytes: Uint8Array, record: WireRecord): boolean {
  if (bytes.length !== SUITE.hashLength) {
    return false;
  }
  const secret = new TrafficSecret(
    provider,
    SUITE,
    'CLIENT_TRAFFIC_SECRET',
    Secret.copy('CLIENT_TRAFFIC_SECRET', bytes),
  );
  return Array.from({ length: 8 }, (_, sequence) => sequence).some(
    (sequence) => openRecord(secret, record, sequence) !== undefined,
  );
}

function windows(bytes: Uint8Array, length: number): Uint8Array[] {
  return Array.from({ length: Math.max(0, bytes.length - length + 1) }, (_, at) => bytes.subarray(at, at + length));
}

type Makers = Record<string, (...args: unknown[]) => Secret>;

/** All `Secret`s of this process from now on. */
class Memory {
  readonly #makers = Secret as unknown as Makers;
  readonly #original: Makers = Object.fromEntries(secretMakers.map((name) => [name, this.#makers[name]]));
  readonly #secrets: Secret[] = [];

  constructor() {
    for (const name of secretMakers) {
      const make = this.#original[name];
      this.#makers[name] = (...args) => {
        const secret = make.apply(Secret, args);
        this.#secrets.push(secret);
        return secret;
      };
    }
  }

  steal(): Uint8Array[] {
    const secrets = this.#secrets.filter(({ erased }) => !erased);
    return secrets.map((secret) => Uint8Array.from(secret.expose()));
  }

  close(): void {
    Object.assign(this.#makers, this.#original);
  }
}
