/**
 * The command line of BoringSSL's test runner, as far as the shim understands it. Any other flag means: not implemented.
 *
 *     [-on-initial | -on-resume | -on-retry] -name [value]       a flag for one connection of the run, or for all
 *     -on-shim-name [value]                                      as -name
 *     -on-handshaker-name [value]                                for a second process, which this shim never has
 *     -new-x509-credential -cert-file … -key-file …              a further certificate; without it: the only one
 *
 * The runner's PORTING.md, and the flags of its own shim.
 */

/** The shim says with exit code 89 that it does not do this; the runner then skips the test. */
export class Unimplemented extends Error {}

type Kind = 'flag' | 'value';

/** What the shim does something for. */
const understood = {
  // Which connection, and how many
  port: 'value',
  ipv6: 'flag',
  'shim-id': 'value',
  server: 'flag',
  'resume-count': 'value',
  'resumption-delay': 'value',
  async: 'flag',
  'is-handshaker-supported': 'flag',

  // What is offered
  'min-version': 'value',
  'max-version': 'value',
  'no-tls13': 'flag',
  'no-tls12': 'flag',
  'no-tls11': 'flag',
  'no-tls1': 'flag',
  cipher: 'value',
  curves: 'value',
  'key-shares': 'value',
  'host-name': 'value',
  'advertise-alpn': 'value',
  'select-alpn': 'value',
  'decline-alpn': 'flag',
  'reject-alpn': 'flag',
  'no-ticket': 'flag',
  'enable-grease': 'flag',
  'enable-ech-grease': 'flag',
  'ech-config-list': 'value',
  'enable-early-data': 'flag',
  'renegotiate-once': 'flag',
  'renegotiate-freely': 'flag',
  'renegotiate-explicit': 'flag',

  // Certificates
  'new-x509-credential': 'flag',
  'cert-file': 'value',
  'key-file': 'value',
  'signing-prefs': 'value',
  'verify-prefs': 'value',
  'ocsp-response': 'value',
  'signed-cert-timestamps': 'value',
  'trust-cert': 'value',
  'enable-ocsp-stapling': 'flag',
  'use-ocsp-callback': 'flag',
  'set-ocsp-in-callback': 'flag',
  'decline-ocsp-callback': 'flag',
  'fail-ocsp-callback': 'flag',
  'enable-signed-cert-timestamps': 'flag',
  'require-any-client-certificate': 'flag',
  'verify-peer': 'flag',
  'verify-fail': 'flag',
  'use-custom-verify-callback': 'flag',
  'use-client-ca-list': 'value',
  'fail-early-callback': 'flag',

  // What is done with the connection
  'shim-writes-first': 'flag',
  'shim-shuts-down': 'flag',
  'check-close-notify': 'flag',
  'write-different-record-sizes': 'flag',
  'read-with-unfinished-write': 'flag',
  'key-update': 'flag',
  'export-keying-material': 'value',
  'export-label': 'value',
  'export-context': 'value',
  'use-export-context': 'flag',
  'use-exporter-between-reads': 'flag',
  'tls-unique': 'flag',
  'handshake-never-done': 'flag',

  // What is expected of it
  'expect-version': 'value',
  'expect-cipher': 'value',
  'expect-cipher-aes': 'value',
  'expect-cipher-no-aes': 'value',
  'expect-curve-id': 'value',
  'expect-peer-signature-algorithm': 'value',
  'expect-peer-verify-pref': 'value',
  'expect-server-name': 'value',
  'expect-no-server-name': 'flag',
  'expect-alpn': 'value',
  'expect-advertised-alpn': 'value',
  'expect-hrr': 'flag',
  'expect-no-hrr': 'flag',
  'expect-extended-master-secret': 'flag',
  'expect-secure-renegotiation': 'flag',
  'expect-total-renegotiations': 'value',
  'expect-session-miss': 'flag',
  'expect-no-session': 'flag',
  'expect-session-id': 'flag',
  'expect-no-session-id': 'flag',
  'expect-ticket-renewal': 'flag',
  'expect-ticket-supports-early-data': 'flag',
  'expect-accept-early-data': 'flag',
  'expect-reject-early-data': 'flag',
  'expect-no-offer-early-data': 'flag',
  'expect-early-data-reason': 'value',
  'expect-peer-cert-file': 'value',
  'expect-ocsp-response': 'value',
  'expect-signed-cert-timestamps': 'value',
  'expect-verify-result': 'flag',
  'expect-ech-accept': 'flag',
  'expect-ech-name-override': 'value',
  'expect-no-ech-name-override': 'flag',
  'expect-ech-retry-configs': 'value',
  'expect-no-ech-retry-configs': 'flag',
} as const satisfies Record<string, Kind>;

/** Choices among calls of BoringSSL that the core has one call for: what the peer sees is to be the same. */
const withoutEffect = {
  'allow-hint-mismatch': 'value',
  'cbc-record-splitting': 'flag',
  'handshake-twice': 'flag',
  'handshaker-path': 'value',
  'implicit-handshake': 'flag',
  'install-ddos-callback': 'flag',
  'no-op-extra-handshake': 'flag',
  'partial-write': 'flag',
  'peek-then-read': 'flag',
  'read-size': 'value',
  'renegotiate-ignore': 'flag',
  'server-preference': 'flag',
  'use-early-callback': 'flag',
  'use-old-client-cert-callback': 'flag',
  'use-ticket-callback': 'flag',
  'write-settings': 'value',
} as const satisfies Record<string, Kind>;

const credentialFlags = ['cert-file', 'key-file', 'signing-prefs', 'ocsp-response', 'signed-cert-timestamps'] as const;

export type FlagName = keyof typeof understood;
export type CredentialFlag = (typeof credentialFlags)[number];

/** The flags of one connection. */
export class Settings {
  readonly #values = new Map<string, string[]>();
  /** The first is the one that flags before any -new-x509-credential speak of. */
  readonly credentials: Values<CredentialFlag>[] = [new Values()];

  set(name: string, value: string): void {
    if (name === 'new-x509-credential') {
      this.credentials.push(new Values());
    } else if (credentialFlags.includes(name as CredentialFlag)) {
      this.credentials[this.credentials.length - 1].add(name as CredentialFlag, value);
    }
    this.#values.set(name, [...(this.#values.get(name) ?? []), value]);
  }

  has(name: FlagName): boolean {
    return this.#values.has(name);
  }

  /** The last one, as with all that are given twice. */
  text(name: FlagName): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  number(name: FlagName): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : toNumber(name, text);
  }

  numbers(name: FlagName): number[] {
    return (this.#values.get(name) ?? []).map((text) => toNumber(name, text));
  }

  /** From base64. */
  bytes(name: FlagName): Uint8Array | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : new Uint8Array(Buffer.from(text, 'base64'));
  }
}

/** The flags of one credential. */
export class Values<Name extends string> {
  readonly #values = new Map<Name, string[]>();

  add(name: Name, value: string): void {
    this.#values.set(name, [...this.all(name), value]);
  }

  all(name: Name): string[] {
    return this.#values.get(name) ?? [];
  }

  last(name: Name): string | undefined {
    return this.all(name).at(-1);
  }
}

export interface ShimArguments {
  readonly initial: Settings;
  readonly resume: Settings;
  /** After early data that the server did not take. */
  readonly retry: Settings;
}

/** @throws Unimplemented a flag that the shim does not know */
export function parseArguments(args: readonly string[]): ShimArguments {
  const parsed: ShimArguments = { initial: new Settings(), resume: new Settings(), retry: new Settings() };
  for (let at = 0; at < args.length; at++) {
    const { phase, skipped, name } = splitName(args[at]);
    const kind = kindOf(name);
    if (kind === undefined && !skipped) {
      throw new Unimplemented(args[at]);
    }
    const takesValue = kind === undefined ? at + 1 < args.length && !args[at + 1].startsWith('-') : kind === 'value';
    if (takesValue && at + 1 >= args.length) {
      throw new Error(`${args[at]}: expected a value`);
    }
    const value = takesValue ? args[++at] : '';
    if (skipped) {
      continue;
    }
    for (const target of phase === undefined ? (['initial', 'resume', 'retry'] as const) : [phase]) {
      parsed[target].set(name, value);
    }
  }
  return parsed;
}

function splitName(argument: string): { phase: keyof ShimArguments | undefined; skipped: boolean; name: string } {
  const [, where, phase, name] = ARGUMENT.exec(argument) ?? [undefined, undefined, undefined, argument];
  return { phase: phase as keyof ShimArguments | undefined, skipped: where === 'handshaker', name };
}

function kindOf(name: string): Kind | undefined {
  const all: Record<string, Kind> = { ...understood, ...withoutEffect };
  return Object.hasOwn(all, name) ? all[name] : undefined;
}

function toNumber(name: string, text: string): number {
  if (!/^-?\d+$/.test(text)) {
    throw new Error(`-${name}: expected a number, got ${text}`);
  }
  return Number(text);
}

const ARGUMENT = /^(?:-on-(shim|handshaker))?(?:-on-(initial|resume|retry))?-?(.*)$/s;
