/**
 * Whoever uses the core by itself decides whom it talks to: the need to verify a chain, handed to the public validator, with
 * certificates that must be stapled, in handshakes, resumptions and renegotiations.
 */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { Need } from '../../src/actions.ts';
import { derInteger, derSequence } from '../../src/certificates/der-writer.ts';
import { extensionOids } from '../../src/certificates/oids.ts';
import type { Credential, ServerContext } from '../../src/connection-options.ts';
import {
  createChainCache,
  createTrustStore,
  nodeProvider,
  TLSError,
  type VerifyOptions,
  verifyCertificateChain,
} from '../../src/index.ts';
import { type Authority, extension, makeIntermediate, makeLeaf, makeRoot, NOW } from '../certificates/builder.ts';
import { makeOcsp, type OcspSpec } from '../certificates/ocsp-maker.ts';
import { byServer, renegotiated } from '../renegotiation/support.ts';
import type { Endpoint, Link } from '../support/connections.ts';
import { World12 } from '../support/world12.ts';

const world = new World12();
after(() => world.close());

const root = makeRoot();
const issuer = makeIntermediate(root);
const feature = extension(extensionOids.tlsFeature, false, derSequence(derInteger(5)));
const plain = makeLeaf(issuer, { names: ['localhost'] });
const mustStaple = makeLeaf(issuer, { names: ['localhost'], more: [feature] });
const policy = { roots: createTrustStore([root.der]), now: NOW, purpose: 'server' } as const;

type Stapling = VerifyOptions['stapling'];
type VerifyNeed = Extract<Need, { kind: 'verifyCertificate' }>;

function staple(leaf: Authority, spec: Partial<OcspSpec> = {}): Uint8Array {
  return makeOcsp({ leaf, issuer, ...spec });
}

function contextOf(leaf: Authority, ocspResponse: Uint8Array | undefined): ServerContext {
  const privateKey = nodeProvider.importPrivateKey(leaf.key.privateKeyPem);
  const certificateChain = [leaf.der, issuer.der];
  const credential: Credential = { certificateChain, schemes: privateKey.schemes, privateKey };
  return { ...world.context, credentials: [ocspResponse === undefined ? credential : { ...credential, ocspResponse }] };
}

/** What a host does with the need: its fields are those of the validator. */
function judge(client: Endpoint, stapling: Stapling, verify = verifyCertificateChain): void {
  assert.equal(client.need?.kind, 'verifyCertificate');
  try {
    client.verdict = verify({ ...(client.need as VerifyNeed), ...policy, stapling }).publicKey;
  } catch (error) {
    assert.ok(error instanceof TLSError);
    client.verdict = error;
  }
  client.answer();
}

/** A handshake of a host that judges. */
function meet(version: 'TLSv1.3' | 'TLSv1.2', context: ServerContext, stapling: Stapling, statusRequest = true): Link {
  const versions = [version];
  const link = world.pair({ versions, statusRequest }, { versions, context });
  link.client.hold = ['verifyCertificate'];
  link.run();
  judge(link.client, stapling);
  return link.deliver();
}

for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
  describe(`a host of the core, ${version},`, () => {
    test('refuses what is not stapled and must be, and what is stapled and wrong, by an alert', () => {
      const foreign = staple(plain, { serial: Uint8Array.of(9) });
      for (const [leaf, ocspResponse, stapling, alert] of [
        [mustStaple, undefined, 'check', 'bad_certificate_status_response'],
        [mustStaple, undefined, 'require', 'bad_certificate_status_response'],
        [plain, undefined, 'require', 'bad_certificate_status_response'],
        [plain, foreign, 'check', 'bad_certificate_status_response'],
        [mustStaple, staple(mustStaple, { status: 'revoked' }), 'check', 'certificate_revoked'],
        [plain, staple(plain, { status: 'revoked' }), 'require', 'certificate_revoked'],
      ] as const) {
        const { client, server } = meet(version, contextOf(leaf, ocspResponse), stapling);
        assert.equal(client.error?.alert, alert, client.error?.message);
        assert.match(server.error?.message ?? '', new RegExp(alert));
        client.forget();
        server.forget();
      }
    });

    test('takes what is stapled and right, and what need not be stapled', () => {
      for (const [leaf, ocspResponse, stapling] of [
        [mustStaple, staple(mustStaple), 'check'],
        [plain, staple(plain), 'require'],
        [plain, undefined, 'check'],
        [mustStaple, undefined, undefined],
      ] as const) {
        const link = meet(version, contextOf(leaf, ocspResponse), stapling);
        link.assertComplete();
        link.forget();
      }
    });

    test('that requires a staple and forgot to ask for it talks to nobody', () => {
      const link = meet(version, contextOf(plain, staple(plain)), 'require', false);
      assert.equal(link.client.error?.code, 'TLS_ERR_BAD_STATUS');
      link.forget();
    });

    test('with a cache of verdicts refuses the same chain without its staple', () => {
      const cache = createChainCache();
      for (const [ocspResponse, code] of [
        [staple(mustStaple), undefined],
        [undefined, 'TLS_ERR_BAD_STATUS'],
        [staple(mustStaple, { status: 'revoked' }), 'TLS_ERR_CERTIFICATE_REVOKED'],
        [staple(mustStaple), undefined],
      ] as const) {
        const versions = [version];
        const context = contextOf(mustStaple, ocspResponse);
        const link = world.pair({ versions, statusRequest: true }, { versions, context });
        link.client.hold = ['verifyCertificate'];
        link.run();
        judge(link.client, 'check', cache.verify);
        link.deliver();
        assert.equal(link.client.error?.code, code);
        assert.equal(cache.size, 1);
        link.forget();
      }
    });

    test('judges the chain of a session by its path, as its staple was judged when it was made', () => {
      const first = meet(version, contextOf(mustStaple, staple(mustStaple)), 'require');
      first.assertComplete();
      const session = first.client.sessions[0] ?? first.client.sessions12[0];
      const { peerCertificates: chain } = session;
      const about = { ...policy, chain, serverName: 'localhost' } as const;
      assert.equal(verifyCertificateChain({ ...about, stapling: 'judged' }).path.length, 3);
      assert.throws(() => verifyCertificateChain({ ...about, stapling: 'require' }), { code: 'TLS_ERR_BAD_STATUS' });
      first.forget();
    });
  });
}

test('in a renegotiation a certificate must be stapled anew: the staple of the handshake is none of its', () => {
  for (const [ocspResponse, code] of [
    [undefined, 'TLS_ERR_BAD_STATUS'],
    [staple(mustStaple, { status: 'revoked' }), 'TLS_ERR_CERTIFICATE_REVOKED'],
    [staple(mustStaple), undefined],
  ] as const) {
    const link = meet('TLSv1.2', contextOf(mustStaple, staple(mustStaple)), 'require');
    link.assertComplete();
    byServer(link, contextOf(mustStaple, ocspResponse));
    assert.deepEqual((link.client.need as VerifyNeed).ocspResponse, ocspResponse);
    judge(link.client, 'require');
    link.deliver();
    assert.equal(link.client.error?.code, code);
    if (code === undefined) {
      assert.deepEqual(renegotiated(link.client).ocspResponse, ocspResponse);
    }
    link.forget();
  }
});
