/** What the flags expect of a connection, held against what the core says of it. */

import type { ClientHelloInfo, HandshakeSummary } from '../../src/actions.ts';
import { namedGroups } from '../../src/crypto/groups.ts';
import { signatureSchemes } from '../../src/crypto/signatures.ts';
import { cipherSuites } from '../../src/crypto/suites.ts';
import { cipherSuites12 } from '../../src/crypto/suites12.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import { certificatesIn, splitAlpn, splitTimestamps } from './flag-values.ts';
import type { FlagName, Settings } from './flags.ts';

/** The connection stands, but is not what the runner's flags say it should be. */
export class Unexpected extends Error {}

export function checkHello(settings: Settings, hello: ClientHelloInfo): void {
  const name = settings.text('expect-server-name');
  if (name !== undefined) {
    same('server name', hello.serverName, name);
  }
  if (settings.has('expect-no-server-name')) {
    same('server name', hello.serverName, '');
  }
  const codes = settings.numbers('expect-peer-verify-pref');
  if (codes.length > 0) {
    same('signature schemes', hello.signatureSchemes.map((scheme) => signatureSchemes[scheme]).join(), codes.join());
  }
  const offered = settings.text('expect-advertised-alpn');
  if (offered !== undefined) {
    same('offered protocols', hello.alpnProtocols.join(), splitAlpn(offered).join());
  }
}

export interface Circumstances {
  readonly settings: Settings;
  /** Not the first connection of the run. */
  readonly isResumption: boolean;
  /** A server kept a session by its ID. */
  readonly keptSession: boolean;
}

/** After the handshake, or where early data was taken: of what the handshake will lead to. */
export function checkHandshake(summary: HandshakeSummary, circumstances: Circumstances): void {
  const { settings, isResumption, keptSession } = circumstances;
  const isServer = settings.has('server');
  same('resumed', summary.resumed, isResumption && !settings.has('expect-session-miss'));
  expectNumber(settings, 'expect-version', summary.version === 'TLSv1.3' ? 0x0304 : 0x0303);
  for (const flag of ['expect-cipher', 'expect-cipher-aes'] as const) {
    expectNumber(settings, flag, suiteCode(summary.cipherSuite));
  }
  expectNumber(settings, 'expect-curve-id', codeOf(namedGroups, summary.namedGroup));
  // Of a client's signature a server knows only that it was good; in a resumption there is none.
  if (settings.has('expect-peer-signature-algorithm') && !isServer && !summary.resumed) {
    const { signatureScheme: scheme } = summary;
    same('signature scheme', scheme && signatureSchemes[scheme], settings.number('expect-peer-signature-algorithm'));
  }
  same('protocol', summary.alpnProtocol, settings.text(isServer ? 'select-alpn' : 'expect-alpn') ?? '');
  if (settings.has('expect-hrr') || settings.has('expect-no-hrr')) {
    same('HelloRetryRequest', summary.helloRetried, settings.has('expect-hrr'));
  }
  if (settings.has('expect-extended-master-secret')) {
    same('extended master secret', summary.extendedMasterSecret, true);
  }
  if (!isResumption && settings.has('expect-session-id')) {
    same('session kept by its ID', keptSession, true);
  }
  if (!isResumption && settings.has('expect-no-session-id')) {
    same('session kept by its ID', keptSession, false);
  }
  if (!isServer) {
    same('ECH accepted', summary.encryptedClientHello === true, settings.has('expect-ech-accept'));
  }
  checkPeer(settings, summary);
}

/** The server behind an outer hello proves the name that is public; any other, the one that is meant. */
export function checkVerifiedName(settings: Settings, name: string | undefined): void {
  const override = settings.text('expect-ech-name-override');
  if (override !== undefined) {
    same('verified name', name, override);
  }
  if (settings.has('expect-no-ech-name-override')) {
    same('verified name', name, settings.text('host-name') ?? '');
  }
}

export function checkRetryConfigs(settings: Settings, configs: Uint8Array | undefined): void {
  const expected = settings.bytes('expect-ech-retry-configs');
  if (expected !== undefined) {
    same('retry configurations', hex([configs ?? new Uint8Array()]), hex([expected]));
  }
  if (settings.has('expect-no-ech-retry-configs')) {
    same('retry configurations', configs, undefined);
  }
}

function checkPeer(settings: Settings, summary: HandshakeSummary): void {
  if (!settings.has('server') || settings.has('require-any-client-certificate')) {
    same('certificate of the peer', summary.peerCertificates.length > 0, true);
  }
  const file = settings.text('expect-peer-cert-file');
  if (file !== undefined) {
    same('chain of the peer', hex(summary.peerCertificates), hex(certificatesIn(file)));
  }
  // In a resumption nothing is stapled: what the first handshake brought is for the host to keep.
  if (settings.has('expect-ocsp-response') && !summary.resumed) {
    const response = settings.bytes('expect-ocsp-response') as Uint8Array;
    same('OCSP response', hex([summary.ocspResponse ?? new Uint8Array()]), hex([response]));
  }
  if (settings.has('expect-signed-cert-timestamps') && !summary.resumed) {
    const timestamps = splitTimestamps(settings.text('expect-signed-cert-timestamps') as string);
    same('timestamps', hex(summary.signedCertificateTimestamps ?? []), hex(timestamps));
  }
}

/** At the end of a client's connection: TLS 1.2 gives a session in the handshake, TLS 1.3 at any time after it. */
export function checkSession(settings: Settings, summary: HandshakeSummary, session: ClientSession | undefined): void {
  const isTls13 = summary.version === 'TLSv1.3';
  if (isTls13 && settings.has('shim-shuts-down')) {
    // Whether one came before the end is up to chance.
    return;
  }
  const isDue = isTls13 || !summary.resumed || settings.has('expect-ticket-renewal');
  same('got a session', session !== undefined, isDue && !settings.has('expect-no-session'));
  if (session?.version === 'TLSv1.3') {
    const allowsEarlyData = (session.maxEarlyDataSize ?? 0) > 0;
    same('session allows early data', allowsEarlyData, settings.has('expect-ticket-supports-early-data'));
  }
}

export function checkEarlyData(settings: Settings, earlyData: 'taken' | 'refused' | undefined): void {
  if (settings.has('expect-accept-early-data')) {
    same('early data', earlyData, 'taken');
  }
  if (settings.has('expect-reject-early-data')) {
    same('early data is taken', earlyData === 'taken', false);
  }
  // Why it was not is BoringSSL's to say.
  if (settings.has('expect-early-data-reason')) {
    same('early data is taken', earlyData === 'taken', settings.text('expect-early-data-reason') === 'accept');
  }
}

export function same<T>(what: string, got: T, expected: T): void {
  if (got !== expected) {
    throw new Unexpected(`${what}: expected ${String(expected)}, got ${String(got)}`);
  }
}

function expectNumber(settings: Settings, flag: FlagName, got: number | undefined): void {
  if (settings.has(flag)) {
    same(flag, got, settings.number(flag));
  }
}

function suiteCode(name: HandshakeSummary['cipherSuite']): number | undefined {
  return codeOf(cipherSuites, name) ?? codeOf(cipherSuites12, name);
}

function codeOf(table: Readonly<Record<string, { code: number }>>, name: string | undefined): number | undefined {
  return name !== undefined && Object.hasOwn(table, name) ? table[name].code : undefined;
}

function hex(items: readonly Uint8Array[]): string {
  return items.map((bytes) => Buffer.from(bytes).toString('hex')).join();
}
