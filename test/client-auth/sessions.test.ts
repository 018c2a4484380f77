/** Sessions of clients with certificates: they carry the chain, and lead from no trust policy into another. */

import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import type { ServerContext } from '../../src/connection-options.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import { askingContext, assertNothingLeft, corrupt } from '../renegotiation/support.ts';
import { type Endpoint, identity, type Link } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { World12 } from '../support/world12.ts';

const world = new World12();
const watch = new SecretWatch();
beforeEach(() => watch.clear());
after(() => {
  watch.stop();
  world.close();
});

const alice = identity('ec-p256', 'alice');
const WAYS = ['TLSv1.3 by ticket', 'TLSv1.2 by ticket', 'TLSv1.2 by id'] as const;
type Way = (typeof WAYS)[number];

const versionOf = (way: Way) => (way.startsWith('TLSv1.3') ? 'TLSv1.3' : 'TLSv1.2');
const baseOf = (way: Way) => (way.endsWith('id') ? world.byId : world.context);

function sessionsOf(end: Endpoint): readonly ClientSession[] {
  return [...end.sessions, ...end.sessions12];
}

interface Visit {
  readonly session?: ClientSession;
  readonly serverName?: string;
  readonly credentials?: boolean;
}

function visit(
  way: Way,
  context: ServerContext,
  { session, serverName = 'localhost', credentials = true }: Visit = {},
): Link {
  const versions = [versionOf(way)] as const;
  const client = { versions, session, serverName, credentials: credentials ? [alice.credential] : undefined };
  const link = world.pair(client, { versions, context });
  link.server.publicKey = alice.publicKey;
  return link.run();
}

function sessionFrom(way: Way, context: ServerContext, options: Visit = {}): { session: ClientSession; link: Link } {
  const link = visit(way, context, options);
  link.assertComplete();
  const session = sessionsOf(link.client)[0];
  assert(session !== undefined, 'the handshake gave a session');
  return { session, link };
}

for (const way of WAYS) {
  describe(`a session of ${way}`, () => {
    test('is resumed with the chain, again and again, without the client being asked', () => {
      const context = askingContext(baseOf(way));
      let { session, link } = sessionFrom(way, context);
      const links = [link];
      for (let i = 0; i < 4; i++) {
        link = visit(way, context, { session, credentials: false });
        link.assertComplete();
        assert.equal(link.server.summary?.resumed, true);
        assert.deepEqual(link.server.summary?.peerCertificates, alice.credential.certificateChain);
        session = sessionsOf(link.client)[0] ?? session;
        links.push(link);
      }
      for (const each of links) {
        each.forget();
      }
      assertNothingLeft(watch);
    });

    test('without certificate, where it was not required, is resumed without one', () => {
      const context = askingContext(baseOf(way), false);
      const { session, link } = sessionFrom(way, context, { credentials: false });
      const again = visit(way, context, { session });
      assert.equal(again.server.summary?.resumed, true);
      assert.deepEqual(again.server.summary?.peerCertificates, []);
      again.forget();
      link.forget();
      assertNothingLeft(watch);
    });

    test('of one trust policy is not resumed under another, whichever way round (CVE-2025-23419)', () => {
      const base = baseOf(way);
      const other = identity('ed25519', 'another site');
      const policies: Record<string, ServerContext> = {
        none: base,
        requested: askingContext(base, false, 'requested:ca'),
        required: askingContext(base, true, 'required:ca'),
        'another CA set': askingContext(base, true, 'required:another ca'),
        'another certificate': askingContext({ ...base, credentials: [other.credential] }, true, 'required:ca'),
      };
      for (const [from, made] of Object.entries(policies)) {
        const source = world.pair(
          { versions: [versionOf(way)], credentials: [alice.credential] },
          { versions: [versionOf(way)], context: made },
        );
        source.server.publicKey = alice.publicKey;
        source.client.publicKey = made.credentials[0] === other.credential ? other.publicKey : source.client.publicKey;
        source.run().assertComplete();
        const session = sessionsOf(source.client)[0];
        for (const [to, context] of Object.entries(policies)) {
          const link = world.pair({ versions: [versionOf(way)], session }, { versions: [versionOf(way)], context });
          link.client.publicKey = context.credentials[0] === other.credential ? other.publicKey : link.client.publicKey;
          link.run();
          const { required } = context.clientAuthentication ?? { required: false };
          if (from === to) {
            assert.equal(link.server.summary?.resumed, true, `${from} to ${to}`);
          } else if (required) {
            assert.equal(link.server.error?.code, 'TLS_ERR_CERTIFICATE_REQUIRED', `${from} to ${to}`);
          } else {
            assert.equal(link.server.summary?.resumed, false, `${from} to ${to}`);
            assert.equal(link.server.summary?.refusal, 'policy_changed');
            assert.deepEqual(link.server.summary?.peerCertificates, []);
          }
          link.forget();
        }
        source.forget();
      }
      assertNothingLeft(watch);
    });

    test('of one virtual host is not resumed at another, also of the same policy', () => {
      const context = askingContext(baseOf(way));
      const { session, link } = sessionFrom(way, context, { serverName: 'a.example' });
      const lie = { ...session, serverName: 'b.example' };
      for (const [offered, serverName, resumed] of [
        [session, 'a.example', true],
        [lie, 'b.example', false],
        [{ ...session, serverName: '' }, '', false],
      ] as const) {
        const again = visit(way, context, { session: offered, serverName });
        again.assertComplete();
        assert.equal(again.server.summary?.resumed, resumed, serverName);
        again.forget();
      }
      link.forget();
      assertNothingLeft(watch);
    });

    test('whose chain is too long to be kept is not given, and the connection is', () => {
      const certificateChain = Array.from({ length: 4 }, (_, i) => new Uint8Array(4000).fill(i + 1));
      const versions = [versionOf(way)] as const;
      const many = Array.from({ length: 9 }, (_, i) => new Uint8Array(100).fill(i + 1));
      for (const chain of [certificateChain, many]) {
        const link = world.pair(
          { versions, credentials: [{ ...alice.credential, certificateChain: chain }] },
          { versions, context: askingContext(baseOf(way)) },
        );
        link.server.publicKey = alice.publicKey;
        link.run().assertComplete();
        assert.deepEqual(link.server.summary?.peerCertificates, chain);
        for (const session of sessionsOf(link.client)) {
          // By ID the client cannot know that the server has not kept it.
          assert.equal(way, 'TLSv1.2 by id');
          const again = visit(way, askingContext(baseOf(way)), { session });
          again.assertComplete();
          assert.equal(again.server.summary?.resumed, false);
          again.forget();
        }
        link.forget();
      }
      assertNothingLeft(watch);
    });

    test('is given only once the client has proved itself', () => {
      const context = askingContext(baseOf(way));
      for (const stop of ['certificate', 'certificate_verify', 'finished']) {
        const before = world.cache.stats().entries;
        const versions = [versionOf(way)] as const;
        const link = world.pair({ versions, credentials: [alice.credential] }, { versions, context });
        link.server.publicKey = alice.publicKey;
        const said: string[] = [];
        corrupt(link.client, (name, raw) => (name === stop ? [] : [raw]));
        corrupt(link.server, (name, raw) => {
          said.push(name);
          return [raw];
        });
        link.run();
        assert(!said.includes('new_session_ticket'), stop);
        assert.equal(world.cache.stats().entries, before);
        assert.equal(sessionsOf(link.client).length, 0);
        link.forget();
        assertNothingLeft(watch);
      }
    });
  });
}

test('a session of a client certificate that was shown in a renegotiation is bound to the policy that asked for it', () => {
  for (const way of ['TLSv1.2 by ticket', 'TLSv1.2 by id'] as const) {
    const base = baseOf(way);
    const link = visit(way, base);
    link.assertComplete();
    link.server.take(link.server.connection.startRenegotiation(askingContext(base)));
    link.deliver();
    const session = sessionsOf(link.client)[1];
    assert(session !== undefined);
    const plain = visit(way, base, { session });
    assert.equal(plain.server.summary?.resumed, false);
    assert.deepEqual(plain.server.summary?.peerCertificates, []);
    const asking = visit(way, askingContext(base), { session, credentials: false });
    assert.equal(asking.server.summary?.resumed, true);
    assert.deepEqual(asking.server.summary?.peerCertificates, alice.credential.certificateChain);
    for (const each of [link, plain, asking]) {
      each.forget();
    }
    assertNothingLeft(watch);
  }
});
