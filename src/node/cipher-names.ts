/**
 * The `ciphers` option as `node:tls` has it: names of TLS 1.3 suites, and OpenSSL's cipher list for TLS 1.2, in one text.
 *
 *     TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE+AESGCM:HIGH:!aNULL
 *
 * Lists that applications carry name many suites that are left out here (CBC, RSA key transport): those are passed over
 * as long as one remains. The keywords and operators are those of OpenSSL's ciphers(1), with one exception: suites with DHE
 * are only added by their name, or by a word for DHE itself (`EDH+AESGCM`), not by `HIGH` or `ALL`.
 */

import { type CipherSuiteName, cipherSuites } from '../crypto/suites.ts';
import { type CipherSuite12, type CipherSuite12Name, cipherSuites12 } from '../crypto/suites12.ts';
import { TLSError } from '../errors.ts';

/** Undefined where a list says nothing of the version: all its suites. Empty where the version is not to be spoken. */
export interface CipherChoice {
  readonly cipherSuites: readonly CipherSuiteName[] | undefined;
  readonly cipherSuites12: readonly CipherSuite12Name[] | undefined;
}

const aeads = {
  'aes-128-gcm': { name: 'AES128-GCM-SHA256', keywords: ['AES', 'AESGCM', 'AES128', 'FIPS'] },
  'aes-256-gcm': { name: 'AES256-GCM-SHA384', keywords: ['AES', 'AESGCM', 'AES256', 'FIPS'] },
  'chacha20-poly1305': { name: 'CHACHA20-POLY1305', keywords: ['CHACHA20'] },
} as const satisfies Record<CipherSuite12['aead'], { name: string; keywords: readonly string[] }>;

const spoken13 = Object.keys(cipherSuites) as CipherSuiteName[];
const spoken12: readonly CipherSuite12[] = Object.values(cipherSuites12);

/** The name that OpenSSL has for a suite: in TLS 1.3 IANA's own. */
export function opensslCipherName(name: CipherSuiteName | CipherSuite12Name): string {
  return isTls13(name) ? name : nameOf(cipherSuites12[name as CipherSuite12Name]);
}

/** In order of preference. */
export const DEFAULT_CIPHERS: string = [...spoken13, ...spoken12.filter((suite) => !isDhe(suite)).map(nameOf)].join(
  ':',
);

/** The names of all cipher suites, lower case as `node:tls` gives them; those with DHE are off unless they are named. */
export function getCiphers(): string[] {
  return [...spoken13, ...spoken12.map(nameOf)].map((name) => name.toLowerCase());
}

export function isDhe(suite: CipherSuite12): boolean {
  return suite.keyExchange === 'dhe';
}

/**
 * Without a TLS 1.3 name in it, a list leaves TLS 1.3's suites as they are; with nothing but such names, it rules out TLS 1.2.
 * @throws TLSError `TLS_ERR_CONFIG` no list; `TLS_ERR_NOT_SUPPORTED` none of the suites that it names is spoken
 */
export function parseCiphers(ciphers: string | undefined | null): CipherChoice {
  if (ciphers === undefined || ciphers === null) {
    return { cipherSuites: undefined, cipherSuites12: undefined };
  }
  const words = typeof ciphers === 'string' ? ciphers.split(/[:,; ]+/).filter((word) => word !== '') : [];
  if (words.length === 0) {
    throw new TLSError(
      'TLS_ERR_CONFIG',
      `ciphers: expected names with colons in between, got ${JSON.stringify(ciphers)}`,
    );
  }
  const upper = words.map((word) => word.toUpperCase());
  const words13 = upper.filter(isWord13);
  const words12 = upper.filter((word) => !isWord13(word));
  const chosen13 = choose13(words13);
  const chosen12 = choose12(words12);
  const named13 = words13.some((word) => !word.startsWith('!'));
  if ((named13 ? chosen13.length : 0) + chosen12.length === 0) {
    throw new TLSError('TLS_ERR_NOT_SUPPORTED', `ciphers: expected names among ${DEFAULT_CIPHERS}, got ${ciphers}`);
  }
  return {
    cipherSuites: words13.length === 0 ? undefined : chosen13,
    cipherSuites12: chosen12.map((suite) => suite.name),
  };
}

/** TLS 1.3's names are IANA's and tell no key exchange, unlike those of TLS 1.2. */
function isWord13(word: string): boolean {
  return /^!?TLS_(?!.*_WITH_)/.test(word);
}

function choose13(words: readonly string[]): CipherSuiteName[] {
  const removed = words.filter((word) => word.startsWith('!')).map((word) => word.slice(1));
  const named = words.filter(isTls13);
  const wanted = words.length > removed.length ? named : spoken13;
  return [...new Set(wanted)].filter((name) => !removed.includes(name));
}

function choose12(words: readonly string[]): readonly CipherSuite12[] {
  let chosen: readonly CipherSuite12[] = [];
  const barred = new Set<CipherSuite12>();
  for (const word of words) {
    if (word === '@STRENGTH') {
      chosen = [...chosen].sort((a, b) => b.keyLength - a.keyLength);
      continue;
    }
    const operator = /^[!+-]/.exec(word)?.[0];
    const matched = matching(operator === undefined ? word : word.slice(1));
    if (operator === undefined) {
      const added = matched.filter((suite) => !isDhe(suite) || namesDhe(word, suite));
      chosen = [...chosen, ...added.filter((suite) => !chosen.includes(suite) && !barred.has(suite))];
      continue;
    }
    const rest = chosen.filter((suite) => !matched.includes(suite));
    if (operator === '!') {
      for (const suite of matched) {
        barred.add(suite);
      }
    }
    chosen = operator === '+' ? [...rest, ...chosen.filter((suite) => matched.includes(suite))] : rest;
  }
  return chosen;
}

/** `ECDHE+AESGCM` is what has all of its parts. */
function matching(word: string): readonly CipherSuite12[] {
  const parts = word.split('+');
  return spoken12.filter((suite) => {
    const keywords = keywordsOf(suite);
    return parts.every((part) => keywords.includes(part));
  });
}

function namesDhe(word: string, suite: CipherSuite12): boolean {
  return word.split('+').some((part) => DHE_WORDS.includes(part) || part === suite.name || part === nameOf(suite));
}

function keywordsOf(suite: CipherSuite12): readonly string[] {
  return [
    ...[suite.name, nameOf(suite), 'ALL', 'DEFAULT', 'HIGH', 'AEAD', 'TLSV1.2'],
    ...(isDhe(suite) ? DHE_WORDS : ['ECDHE', 'EECDH', 'KECDHE', 'KEECDH', 'ECDH']),
    ...(suite.authentication === 'ecdsa' ? ['ECDSA', 'AECDSA'] : ['ARSA']),
    ...aeads[suite.aead].keywords,
  ];
}

function nameOf({ keyExchange, authentication, aead }: CipherSuite12): string {
  return `${keyExchange}-${authentication}-${aeads[aead].name}`.toUpperCase();
}

function isTls13(name: string): name is CipherSuiteName {
  return Object.hasOwn(cipherSuites, name);
}

const DHE_WORDS: readonly string[] = ['DHE', 'EDH', 'KDHE', 'KEDH', 'DH'];
