/**
 * Several certificates of one server: which of them serve whom, by the name that a client asks for (RFC 6066 §3).
 *
 *     exact name, else wildcard of one label (RFC 9525 §6.3), else the certificate given first
 *
 * Those of another kind of key for the same name stand beside each other; the client's signature schemes choose among them.
 */

import { parseIpAddress } from '../../certificates/general-name.ts';
import { createSecureContext, type SecureContext, type SecureContextOptions } from '../../node/tls.ts';
import type { ServerCredentials } from './credentials.ts';

/** Certificates with a key each, of different kinds. */
export interface ShownCertificates {
  readonly cert: string | readonly string[];
  readonly key: string | readonly string[];
  readonly ocspResponse?: Uint8Array | readonly (Uint8Array | undefined)[];
}

/** Those for clients of which no name is known, and by names in small letters: `example.org`, `*.example.org`. */
export interface CertificateTable extends ShownCertificates {
  readonly named?: ReadonlyMap<string, ShownCertificates>;
}

/** The first is the default. */
export function allCredentials(credentials: ServerCredentials): readonly ServerCredentials[] {
  return [credentials, ...(credentials.others ?? [])];
}

export function certificateTable(credentials: ServerCredentials): CertificateTable {
  if (credentials.others === undefined) {
    return shown([credentials]);
  }
  const all = allCredentials(credentials);
  const { first, named } = choose(all);
  const known = new Map<string, ShownCertificates>();
  const shared = (list: readonly ServerCredentials[]): ShownCertificates => {
    const which = list.map((one) => all.indexOf(one)).join();
    const made = known.get(which) ?? shown(list);
    known.set(which, made);
    return made;
  };
  return { ...shown(first), named: new Map([...named].map(([name, list]) => [name, shared(list)])) };
}

/** One that no client would ever be shown, and which other one stands in its way. */
export function neverShown(
  all: readonly ServerCredentials[],
): { readonly one: ServerCredentials; readonly instead: ServerCredentials | undefined } | undefined {
  const { first, named } = choose(all);
  const lists = [first, ...named.values()];
  const one = all.find((candidate) => !lists.some((list) => list.includes(candidate)));
  return (
    one && {
      one,
      instead: all.find((other) => other !== one && kindOf(other) === kindOf(one) && sharesName(other, one)),
    }
  );
}

export class NamedContexts {
  readonly #contexts: ReadonlyMap<string, SecureContext>;

  /** @throws TLSError as `createSecureContext` */
  constructor(named: CertificateTable['named'], toOptions: (certificates: ShownCertificates) => SecureContextOptions) {
    const different = new Set(named?.values());
    const made = new Map([...different].map((one) => [one, createSecureContext(toOptions(one))] as const));
    this.#contexts = new Map([...(named ?? [])].map(([name, one]) => [name, made.get(one) as SecureContext]));
  }

  /** Undefined: the default serves it. */
  of(serverName: string): SecureContext | undefined {
    const name = serverName.toLowerCase();
    return this.#contexts.get(name) ?? this.#contexts.get(wildcardOf(name));
  }
}

function choose(all: readonly ServerCredentials[]): {
  readonly first: readonly ServerCredentials[];
  readonly named: ReadonlyMap<string, readonly ServerCredentials[]>;
} {
  const byName = new Map<string, ServerCredentials[]>();
  for (const one of all) {
    for (const name of dnsNames(one)) {
      byName.set(name, [...(byName.get(name) ?? []), one]);
    }
  }
  const named = [...byName].map(
    ([name, exact]) => [name, onePerKind([...exact, ...(byName.get(wildcardOf(name)) ?? [])])] as const,
  );
  return {
    first: onePerKind(all.filter((one) => one === all[0] || sharesName(one, all[0]))),
    named: new Map(named),
  };
}

function shown(list: readonly ServerCredentials[]): ShownCertificates {
  const [{ cert, key, ocspResponse }] = list;
  return list.length === 1
    ? { cert, key, ...(ocspResponse === undefined ? {} : { ocspResponse }) }
    : {
        cert: list.map((one) => one.cert),
        key: list.map((one) => one.key),
        ocspResponse: list.map((one) => one.ocspResponse),
      };
}

/** Of several that can sign alike, the one given first. */
function onePerKind(list: readonly ServerCredentials[]): readonly ServerCredentials[] {
  return list.filter((one, at) => list.findIndex((other) => kindOf(other) === kindOf(one)) === at);
}

/** E.g. `EC P-256`, `RSA`. */
export function kindOf({ leaf }: ServerCredentials): string {
  return leaf.key.split(',')[0];
}

function sharesName(a: ServerCredentials, b: ServerCredentials): boolean {
  const others = b.leaf.names.map((name) => name.toLowerCase());
  return a.leaf.names.length + others.length === 0 || a.leaf.names.some((name) => others.includes(name.toLowerCase()));
}

function dnsNames({ leaf }: ServerCredentials): readonly string[] {
  return [
    ...new Set(leaf.names.filter((name) => parseIpAddress(name) === undefined).map((name) => name.toLowerCase())),
  ];
}

function wildcardOf(name: string): string {
  const dot = name.indexOf('.');
  return dot < 0 ? '' : `*${name.slice(dot)}`;
}
