/** Random sets of features for both ends of a connection, and what they say the connection may come to. */

import fc from 'fast-check';
import { utf8 } from '../../src/bytes/bytes.ts';
import { Writer } from '../../src/bytes/writer.ts';
import type { ClientOptions, Credential, ServerContext, ServerOptions } from '../../src/connection-options.ts';
import type { FfdheGroup } from '../../src/crypto/dhe-groups.ts';
import type { NamedGroup } from '../../src/crypto/groups.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CipherSuiteName } from '../../src/crypto/suites.ts';
import type { CipherSuite12Name } from '../../src/crypto/suites12.ts';
import { type ExternalPsk, externalPskTable } from '../../src/session/external-psk.ts';
import { SessionCache } from '../../src/session/session-cache.ts';
import { LocalSingleUseRegister } from '../../src/session/single-use-register.ts';
import { externalPsk } from '../psk/support.ts';
import { type Identity, identity, World } from '../support/connections.ts';

export const MAX_EARLY = 2048;
/** No two of one type: who signs elsewhere is found by the scheme. */
export const serverIdentities: readonly Identity[] = [identity('ed25519'), identity('rsa'), identity('ec-p256')];
export const clientIdentities: readonly Identity[] = [
  identity('ed25519', ' of a client'),
  identity('ec-p256', ' of a client'),
];
export const STAPLE: Uint8Array = utf8('an OCSP response');
const TIMESTAMP = utf8('a timestamp');

/** Of which each end knows some. `stranger` is one whose key the two do not share. */
export const psks: Readonly<Record<string, ExternalPsk>> = {
  plain: externalPsk('plain', { fill: 1 }),
  other: externalPsk('other', { fill: 2, hash: 'sha384' }),
  imported: externalPsk('imported', { fill: 3, importContext: utf8('who is who') }),
  stranger: externalPsk('plain', { fill: 4 }),
};

export class CombinedWorld extends World {
  readonly cache: SessionCache = new SessionCache({ clock: this.clock });
  readonly once: LocalSingleUseRegister = new LocalSingleUseRegister({ clock: this.clock });
  readonly early: LocalSingleUseRegister = new LocalSingleUseRegister({ clock: this.clock });

  override close(): void {
    this.cache.close();
    this.once.close();
    this.early.close();
    super.close();
  }
}

const some = <T>(...values: readonly T[]) => fc.constantFrom(...values);
/** Most of the time one of the first: where everything is random, nothing gets far. */
const mostly = <T>(usual: readonly T[], ...others: readonly T[]) =>
  fc.oneof({ weight: 6, arbitrary: some(...usual) }, { weight: 4, arbitrary: some(...others) });
const rarely = fc.nat({ max: 7 }).map((n) => n === 0);
const often = fc.nat({ max: 3 }).map((n) => n > 0);

const common = {
  versions: mostly([['TLSv1.3', 'TLSv1.2']], ['TLSv1.3'], ['TLSv1.3'], ['TLSv1.2']),
  cipherSuites: mostly<readonly CipherSuiteName[] | undefined>(
    [undefined],
    ['TLS_AES_128_GCM_SHA256'],
    ['TLS_AES_256_GCM_SHA384'],
    ['TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_256_GCM_SHA384'],
  ),
  cipherSuites12: mostly<readonly CipherSuite12Name[] | undefined>(
    [undefined],
    ['TLS_DHE_RSA_WITH_AES_128_GCM_SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
    ['TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
  ),
  recordSizeLimit: some(undefined, undefined, 64, 333, 16_385),
  compress: some<readonly ('brotli' | 'zlib')[] | undefined>(undefined, undefined, ['brotli'], ['zlib', 'brotli']),
  usageLimit: some(undefined, undefined, 8, 50),
  renewal: fc.boolean(),
};

export const clientFeatures = fc.record({
  ...common,
  shares: some<readonly NamedGroup[] | undefined>(undefined, ['x25519'], ['secp256r1'], []),
  groups: mostly<readonly NamedGroup[]>([['x25519', 'secp256r1']], ['secp256r1'], ['secp384r1', 'x25519']),
  credentials: fc.subarray([0, 1]),
  signElsewhere: fc.boolean(),
  psks: fc.subarray(['plain', 'other', 'imported'] as const),
  stranger: rarely,
  pskRequired: rarely,
  pskKe: fc.boolean(),
  earlyData: often,
  tickets: some<{ newSession: number; resumption: number } | undefined>(undefined, undefined, {
    newSession: 3,
    resumption: 0,
  }),
  statusRequest: fc.boolean(),
  timestamps: fc.boolean(),
  wantSessions: often,
  offerTickets12: fc.boolean(),
  alpn: mostly([['h2'], ['h2', 'http/1.1']], [], ['unheard of']),
  name: some('localhost', 'localhost', 'localhost', 'elsewhere', ''),
  grease: fc.boolean(),
  ech: mostly([undefined], 'grease', 'list', 'junk'),
});
export type ClientFeatures = typeof clientFeatures extends fc.Arbitrary<infer T> ? T : never;

const anyServer = fc.record({
  ...common,
  groups: mostly<readonly NamedGroup[]>(
    [
      ['x25519', 'secp256r1'],
      ['secp256r1', 'x25519'],
    ],
    ['secp256r1'],
    ['x25519'],
  ),
  credentials: mostly([[0], [0, 1], [0, 1, 2]], [1], [2], []),
  signElsewhere: fc.boolean(),
  askContext: fc.boolean(),
  clients: mostly(['unasked', 'requested'], 'required'),
  clientPolicy: some('one CA', 'one CA', 'another CA'),
  psks: mostly<readonly ('plain' | 'other' | 'imported')[] | undefined>(
    [undefined, ['plain', 'other', 'imported']],
    ['plain', 'imported'],
    ['other', 'imported'],
    [],
  ),
  askPsks: fc.boolean(),
  pskKe: some(undefined, undefined, 'fallback', 'prefer'),
  tickets: often,
  singleUse: some(undefined, undefined, 'here', 'ask'),
  early: some(undefined, 'here', 'here', 'ask'),
  cache: fc.boolean(),
  staple: some('no', 'credential', 'ask'),
  cookie: rarely,
  alpn: mostly([['h2', 'http/1.1']], ['http/1.1', 'h2'], []),
  clientRenegotiations: some(0, 2),
});
/** Certificates that are required of all clients and PSKs rule each other out. */
export const serverFeatures = anyServer.map((features) =>
  features.clients === 'required' ? { ...features, psks: undefined } : features,
);
export type ServerFeatures = typeof serverFeatures extends fc.Arbitrary<infer T> ? T : never;

function credential(who: Identity, elsewhere: boolean, staple: boolean): Credential {
  const { privateKey, ...rest } = who.credential;
  return {
    ...rest,
    ...(elsewhere ? {} : { privateKey }),
    ...(staple ? { ocspResponse: STAPLE, signedCertificateTimestamps: [TIMESTAMP] } : {}),
  };
}

export function clientOptions(features: ClientFeatures): Partial<ClientOptions> {
  const { psks: known, stranger } = features;
  const offered = [
    ...known.map((name) => psks[name]),
    ...(stranger && !known.includes('plain') ? [psks.stranger] : []),
  ];
  const ffdheGroups12: readonly FfdheGroup[] = ['ffdhe2048'];
  return {
    versions: features.versions as ClientOptions['versions'],
    cipherSuites: features.cipherSuites,
    cipherSuites12: features.cipherSuites12,
    ffdheGroups12,
    namedGroups: features.groups,
    keyShares: features.shares?.every((group) => features.groups.includes(group)) ? features.shares : undefined,
    recordSizeLimit: features.recordSizeLimit,
    acceptCompressedCertificates: features.compress,
    usageLimit: features.usageLimit,
    keyRenewal: features.renewal ? { afterBytes: 2 ** 16, renegotiate12: true } : undefined,
    ...(features.credentials.length === 0
      ? {}
      : {
          credentials: features.credentials.map((i) => credential(clientIdentities[i], features.signElsewhere, false)),
        }),
    externalPsks: offered,
    externalPskRequired: features.pskRequired,
    dangerouslyAllowPskKe: features.pskKe,
    earlyData: features.earlyData,
    requestTickets: features.tickets,
    statusRequest: features.statusRequest,
    signedCertificateTimestamp: features.timestamps,
    wantSessions: features.wantSessions,
    offerTickets12: features.offerTickets12,
    alpnProtocols: features.alpn,
    serverName: features.name,
    grease: features.grease,
    encryptedClientHello: echOf(features.ech),
    exportKeyLog: true,
  };
}

/** No server here has the key: what it answers is the outer hello. */
function echOf(ech: string | undefined): ClientOptions['encryptedClientHello'] {
  if (ech === undefined || ech === 'grease') {
    return ech;
  }
  return ech === 'junk' ? new Uint8Array([0, 1, 2]) : ECH_CONFIGS;
}

const ECH_CONFIG = new Writer()
  .u8(7)
  .u16(0x0020)
  .vector16(nodeProvider.generateKeyShare('x25519').publicKey)
  .vector16(new Uint8Array([0, 1, 0, 1]))
  .u8(32)
  .vector8(utf8('public.example'))
  .vector16(new Uint8Array(0))
  .finish();
const ECH_CONFIGS = new Writer().vector16(new Writer().u16(0xfe0d).vector16(ECH_CONFIG).finish()).finish();

export function serverContext(world: CombinedWorld, features: ServerFeatures): ServerContext {
  const { singleUse, early } = features;
  const table = externalPskTable((features.psks ?? []).map((name) => psks[name]));
  return {
    credentials: features.credentials.map((i) =>
      credential(serverIdentities[i], features.signElsewhere, features.staple === 'credential'),
    ),
    alpnProtocols: features.alpn,
    askCertificateStatus: features.staple === 'ask',
    ...(features.clients === 'unasked'
      ? {}
      : {
          clientAuthentication: {
            required: features.clients === 'required',
            certificateAuthorities: [],
            id: `${features.clients}:${features.clientPolicy}`,
          },
        }),
    ...(features.psks === undefined ? {} : { externalPsks: features.askPsks ? 'ask' : table }),
    dangerouslyAllowPskKe: features.pskKe as ServerContext['dangerouslyAllowPskKe'],
    ...(features.cache ? { sessionCache: world.cache } : {}),
    ...(features.tickets
      ? {
          tickets: {
            keys: world.keys,
            ticketsPerConnection: 2,
            ticketsPerResumption: 1,
            maxTickets: 8,
            ticketLifetime: 7200,
            handshakeValidity: 86_400,
            ...(singleUse === undefined ? {} : { singleUse: singleUse === 'ask' ? 'ask' : world.once }),
            ...(early === undefined
              ? {}
              : {
                  earlyData: {
                    maxEarlyDataSize: MAX_EARLY,
                    register: early === 'ask' ? 'ask' : world.early,
                    recordingSince: 0,
                  },
                }),
          },
        }
      : {}),
  };
}

export function serverOptions(context: ServerContext, features: ServerFeatures): Partial<ServerOptions> {
  return {
    versions: features.versions as ServerOptions['versions'],
    cipherSuites: features.cipherSuites,
    cipherSuites12: features.cipherSuites12,
    ffdheGroups12: ['ffdhe2048'],
    namedGroups: features.groups,
    recordSizeLimit: features.recordSizeLimit,
    acceptCompressedCertificates: features.compress,
    usageLimit: features.usageLimit,
    keyRenewal: features.renewal ? { afterBytes: 2 ** 16, renegotiate12: true } : undefined,
    helloRetryCookie: features.cookie ? utf8('a cookie') : undefined,
    clientRenegotiations: features.clientRenegotiations,
    context: features.askContext ? 'ask' : context,
    exportKeyLog: true,
  };
}
