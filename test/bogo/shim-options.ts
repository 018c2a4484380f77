/** What the shim's flags mean to the core: options for one connection, and what outlives it. */

import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ClientHelloInfo } from '../../src/actions.ts';
import { parseCertificate } from '../../src/certificates/certificate.ts';
import type {
  ClientOptions,
  Credential,
  ProtocolVersion,
  ServerContext,
  ServerOptions,
} from '../../src/connection-options.ts';
import { type NamedGroup, namedGroupByCode } from '../../src/crypto/groups.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { PublicKey } from '../../src/crypto/provider.ts';
import { type SignatureScheme, signatureSchemeByCode } from '../../src/crypto/signatures.ts';
import { TLSError } from '../../src/errors.ts';
import { parseCiphers } from '../../src/node/cipher-names.ts';
import { systemClock } from '../../src/node/clock.ts';
import { trustFor, verifyClientChain, verifyServerChain } from '../../src/node/trust.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import type { Clock } from '../../src/session/clock.ts';
import { LocalTicketKeys } from '../../src/session/local-ticket-keys.ts';
import { SessionCache } from '../../src/session/session-cache.ts';
import { LocalSingleUseRegister } from '../../src/session/single-use-register.ts';
import { certificatesIn, splitAlpn, splitTimestamps } from './flag-values.ts';
import { type CredentialFlag, type Settings, Unimplemented, type Values } from './flags.ts';

/** What lives as long as the process: a clock that stands still but for -resumption-delay, and what a server remembers. */
export class ShimWorld {
  readonly started: number = Date.now();
  #ahead = 0;
  readonly clock: Clock = {
    now: () => this.started + this.#ahead,
    monotonic: () => this.#ahead,
    setTimer: systemClock.setTimer,
  };
  readonly keys: LocalTicketKeys = new LocalTicketKeys({ provider: nodeProvider, clock: this.clock });
  readonly cache: SessionCache = new SessionCache({ clock: this.clock });
  readonly register: LocalSingleUseRegister = new LocalSingleUseRegister({ clock: this.clock });
  /** A TLS 1.2 session was kept by its ID since the flag was last cleared. */
  cached = false;

  advance(seconds: number): void {
    this.#ahead += seconds * 1000;
  }
}

export function clientOptions(settings: Settings, world: ShimWorld, session: ClientSession | undefined): ClientOptions {
  if (settings.has('expect-peer-verify-pref')) {
    throw new Unimplemented('-expect-peer-verify-pref at a client');
  }
  return {
    ...commonOptions(settings, world),
    serverName: settings.text('host-name') ?? '',
    alpnProtocols: splitAlpn(settings.text('advertise-alpn') ?? ''),
    credentials: credentials(settings),
    ...accepted(settings),
    statusRequest: settings.has('enable-ocsp-stapling'),
    signedCertificateTimestamp: settings.has('enable-signed-cert-timestamps'),
    offerTickets12: !settings.has('no-ticket'),
    serverRenegotiations: renegotiations(settings),
    grease: settings.has('enable-grease'),
    earlyData: settings.has('enable-early-data'),
    ...encryptedClientHello(settings),
    ...(session !== undefined && { session }),
    ...(settings.has('key-shares') && { keyShares: groups(settings.numbers('key-shares')) }),
  };
}

function renegotiations(settings: Settings): number {
  if (settings.has('renegotiate-freely') || settings.has('renegotiate-explicit')) {
    return 1_000;
  }
  return settings.has('renegotiate-once') ? 1 : 0;
}

/** With a configuration to encrypt to, TLS 1.3 alone is offered: the core has it no other way. */
function encryptedClientHello(settings: Settings): Partial<ClientOptions> {
  const list = settings.bytes('ech-config-list');
  if (list !== undefined) {
    return { encryptedClientHello: list, versions: ['TLSv1.3'] };
  }
  return settings.has('enable-ech-grease') ? { encryptedClientHello: 'grease' } : {};
}

/** @param onHello told of each client that speaks, before it is served */
export function serverOptions(
  settings: Settings,
  world: ShimWorld,
  onHello: (hello: ClientHelloInfo) => void,
): { options: ServerOptions; context: (hello: ClientHelloInfo) => ServerContext | undefined } {
  if (settings.has('fail-ocsp-callback')) {
    // A host that has no OCSP response says so; it has no way to fail.
    throw new Unimplemented('-fail-ocsp-callback at a server');
  }
  const context: ServerContext = {
    credentials: credentials(settings),
    askCertificateStatus: settings.has('use-ocsp-callback'),
    alpnProtocols: [],
    ...((settings.has('select-alpn') || settings.has('reject-alpn')) && {
      chooseProtocol: () => (settings.has('reject-alpn') ? undefined : settings.text('select-alpn')),
    }),
    ...(!settings.has('no-ticket') && { tickets: ticketPolicy(settings, world) }),
    sessionCache: {
      set: (id, state) => {
        world.cached = true;
        world.cache.set(id, state);
      },
      get: (id, now) => world.cache.get(id, now),
      delete: (id) => world.cache.delete(id),
    },
    ...((settings.has('require-any-client-certificate') || settings.has('verify-peer')) && {
      clientAuthentication: {
        required: settings.has('require-any-client-certificate'),
        certificateAuthorities: authorities(settings.text('use-client-ca-list')),
        id: 'the verdict of the shim is always the same',
        ...accepted(settings),
      },
    }),
  };
  return {
    options: { ...commonOptions(settings, world), context: 'ask' },
    context: (hello) => {
      onHello(hello);
      return settings.has('fail-early-callback') ? undefined : context;
    },
  };
}

/** The runner's certificates lead to no root: any key is taken, unless the flags say which root or that none will do. */
export function judgeChain(settings: Settings, chain: readonly Uint8Array[]): PublicKey | TLSError {
  try {
    const key = nodeProvider.importPublicKey(parseCertificate(chain[0]).publicKey.der);
    const refuses = settings.has('verify-fail') && VERIFYING.some((flag) => settings.has(flag));
    if (refuses) {
      const alert = settings.has('use-custom-verify-callback') ? 'certificate_unknown' : 'handshake_failure';
      return new TLSError('TLS_ERR_BAD_CERTIFICATE', '-verify-fail: the chain is refused', { alert });
    }
    if (settings.has('fail-ocsp-callback')) {
      return new TLSError('TLS_ERR_BAD_STATUS', '-fail-ocsp-callback: the staple, or that there is none, is refused');
    }
    const root = settings.text('trust-cert');
    if (root === undefined) {
      return key;
    }
    const trust = trustFor(readFileSync(root));
    return settings.has('server')
      ? verifyClientChain(trust, chain).publicKey
      : verifyServerChain(trust, chain, '', false).publicKey;
  } catch (error) {
    return error instanceof TLSError ? error : new TLSError('TLS_ERR_BAD_CERTIFICATE', String(error));
  }
}

/** What a server staples when it is asked for each client. */
export function stapleFor(settings: Settings): Uint8Array | undefined {
  return settings.has('decline-ocsp-callback') ? undefined : settings.bytes('ocsp-response');
}

function commonOptions(settings: Settings, world: ShimWorld) {
  const { cipherSuites, cipherSuites12 } = suites(settings.text('cipher'));
  return {
    provider: nodeProvider,
    now: () => world.clock.now(),
    versions: versions(settings),
    // The runner tries what RFC 7627 says on sessions without it, too.
    allowLegacyMasterSecret: true,
    ...(cipherSuites !== undefined && { cipherSuites }),
    ...(cipherSuites12 !== undefined && { cipherSuites12 }),
    ...(settings.has('curves') && { namedGroups: groups(settings.numbers('curves')) }),
  } as const;
}

function versions(settings: Settings): ProtocolVersion[] {
  const least = settings.number('min-version') ?? 0;
  const most = settings.number('max-version') ?? 0xffff;
  const spoken = [
    { version: 'TLSv1.3', code: 0x0304, off: settings.has('no-tls13') },
    { version: 'TLSv1.2', code: 0x0303, off: settings.has('no-tls12') },
  ] as const;
  const chosen = spoken.filter(({ code, off }) => !off && code >= least && code <= most).map(({ version }) => version);
  if (chosen.length === 0) {
    throw new Unimplemented('versions before TLS 1.2');
  }
  return chosen;
}

function suites(list: string | undefined): ReturnType<typeof parseCiphers> {
  try {
    return parseCiphers(list);
  } catch {
    throw new Unimplemented(`-cipher ${list}`);
  }
}

function groups(codes: readonly number[]): NamedGroup[] {
  return codes.map((code) => {
    const group = namedGroupByCode(code);
    if (group === undefined || !nodeProvider.supportsGroup(group.name as NamedGroup)) {
      throw new Unimplemented(`the group ${code}`);
    }
    return group.name as NamedGroup;
  });
}

/** Those of the list that are spoken. */
function schemes(codes: readonly number[]): SignatureScheme[] {
  const spoken = codes.map(signatureSchemeByCode).filter((scheme) => scheme !== undefined);
  if (spoken.length === 0) {
    throw new Unimplemented(`the signature schemes ${codes.join(', ')}`);
  }
  return spoken;
}

/** How the peer may sign. */
function accepted(settings: Settings): { acceptedSchemes?: readonly SignatureScheme[] } {
  return settings.has('verify-prefs') ? { acceptedSchemes: schemes(settings.numbers('verify-prefs')) } : {};
}

function credentials(settings: Settings): Credential[] {
  return settings.credentials.filter((values) => values.last('cert-file') !== undefined).map(credential);
}

function credential(values: Values<CredentialFlag>): Credential {
  const certificateChain = certificatesIn(values.last('cert-file') as string);
  const keyFile = values.last('key-file');
  if (keyFile === undefined) {
    throw new Error('-cert-file: expected a -key-file beside it');
  }
  const privateKey = importKey(keyFile);
  const preferred = values.all('signing-prefs').map(Number);
  const ocspResponse = values.last('ocsp-response');
  const timestamps = values.last('signed-cert-timestamps');
  return {
    certificateChain,
    schemes: privateKey.schemes,
    ...(preferred.length > 0 && { allowedSchemes: schemes(preferred) }),
    privateKey,
    ...(ocspResponse !== undefined && { ocspResponse: new Uint8Array(Buffer.from(ocspResponse, 'base64')) }),
    ...(timestamps !== undefined && { signedCertificateTimestamps: splitTimestamps(timestamps) }),
  };
}

function importKey(path: string) {
  const key = createPrivateKey(readFileSync(path));
  const { namedCurve } = createPublicKey(key).asymmetricKeyDetails ?? {};
  try {
    return nodeProvider.importPrivateKey(key);
  } catch {
    throw new Unimplemented(`a key of type ${key.asymmetricKeyType} ${namedCurve ?? ''}`);
  }
}

function authorities(list: string | undefined): Uint8Array[] {
  if (list === undefined || list === '<NULL>' || list === '<EMPTY>') {
    return [];
  }
  return list.split(',').map((name) => new Uint8Array(Buffer.from(name, 'hex')));
}

function ticketPolicy(settings: Settings, world: ShimWorld): ServerContext['tickets'] {
  return {
    keys: world.keys,
    ticketsPerConnection: 2,
    ticketsPerResumption: 2,
    maxTickets: 8,
    ticketLifetime: 7200,
    handshakeValidity: 86_400,
    ...(settings.has('enable-early-data') && {
      earlyData: { maxEarlyDataSize: MAX_EARLY_DATA, register: world.register, recordingSince: world.started },
    }),
  };
}

/** Without one of them a verdict that is bad has no consequence. */
const VERIFYING = ['verify-peer', 'require-any-client-certificate'] as const;

/** The runner counts on the limit that BoringSSL has. */
const MAX_EARLY_DATA = 14_336;
