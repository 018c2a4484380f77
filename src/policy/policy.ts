/**
 * A server's policy on the life of its keys, in one object: the five lifetimes, when connections renew their keys and when
 * idle ones end, what is remembered for resumption and where its bounds are, and what may be agreed.
 *
 *     sealUntil           a ticket key seals new tickets                                    up to 6 h
 *     openUntil           it still opens them, and is then erased: sealUntil + ticketLifetime   up to 24 h
 *     ticketLifetime      a ticket or kept session may be used                              up to 23 h
 *     handshakeValidity   a chain of resumptions, counted from its full handshake           up to 7 d
 *     usageLimit          records that one traffic key may protect                          up to the suite's own
 *
 * docs/policy.md
 */

import type { KeyRenewal, ProtocolVersion } from '../connection-options.ts';
import { namedGroups as groupTable, type NamedGroup } from '../crypto/groups.ts';
import { TLSError } from '../errors.ts';
import { checkKeyLife } from '../handshake/option-checks.ts';
import { checkTicketPolicy, TLS12_SESSION_LIFETIME } from '../session/ticket-issuance.ts';
import { ticketKeySchedule } from '../session/ticket-key-ring.ts';
import { parsePeriod } from './period.ts';

/**
 * 'strict': TLS 1.3 with a hybrid key exchange alone, short lives, early renewal. 'default': what a server has that names no
 * policy. 'compatible': longer tickets of TLS 1.3, patience with idle clients, no KeyUpdate that the peer did not ask for.
 */
export type PolicyName = 'strict' | 'default' | 'compatible';

/** What a policy is made of: as a program or a JSON file gives it. Lengths of time are seconds, or texts such as '90s', '1h'. */
export interface PolicyOptions {
  /** The preset to begin with. Default 'default'. */
  readonly extends?: PolicyName;
  /** For people. Default 'custom'. */
  readonly name?: string;
  /** TLS versions that may be agreed. Default both. */
  readonly versions?: readonly ProtocolVersion[];
  /** Key exchanges that may be agreed, best first; 'all' for all that there are. Default 'all'. */
  readonly namedGroups?: readonly NamedGroup[] | 'all';
  /** How long a ticket key seals: 1 s to 6 h. Default 1 h. */
  readonly sealUntil?: number | string;
  /** How long a ticket or a kept session may be used: 1 s to 23 h. Default 2 h; in TLS 1.2 at most `sealUntil`. */
  readonly ticketLifetime?: number | string;
  /** How long after the full handshake its session may be resumed, over and over: up to 7 d. Default 24 h. */
  readonly handshakeValidity?: number | string;
  /** Records that one traffic key may protect: at least 8. Default: as many as the suite allows. */
  readonly usageLimit?: number | null;
  /** After so long without a byte either way a connection is closed; 0 for never. Default 2 min. */
  readonly idleTimeout?: number | string;
  /** When connections renew their keys; false: at the usage limit only. Default after 1 h in TLS 1.3, not in TLS 1.2. */
  readonly keyRenewal?: KeyRenewal | false;
  /** Whether tickets are made and taken, without which no TLS 1.3 session is resumed. Default true. */
  readonly tickets?: boolean;
  /** Whether TLS 1.2 sessions of clients without tickets are kept in memory. Default true. */
  readonly sessionIds?: boolean;
  /** Tickets after a full handshake: up to 32. Default 2. */
  readonly ticketsPerConnection?: number;
  /** Tickets after a resumption: up to 32. Default 1. */
  readonly ticketsPerResumption?: number;
  /** Most tickets that a client can ask for: up to 32. Default 8. */
  readonly maxTickets?: number;
  /** TLS 1.3: each ticket resumes once. Default false. */
  readonly singleUse?: boolean;
  /** Sessions kept by ID: 1 to 10 million. Default 20,000. */
  readonly maxSessions?: number;
  /** Bytes of all sessions kept by ID: at least 64 KiB. Default 16 MiB. */
  readonly maxSessionBytes?: number;
  /** TLS 1.3: early data is taken, which is not forward secret and can be replayed. Default false. */
  readonly earlyData?: boolean;
  /** TLS 1.2 sessions live for the whole `ticketLifetime`, over and over, and with them their master secrets. Default false. */
  readonly dangerouslyLongTls12Sessions?: boolean;
  /** TLS 1.3: a PSK alone may protect a connection (psk_ke), which is then not forward secret. Default false: psk_dhe_ke alone. */
  readonly dangerouslyAllowPskKe?: 'fallback' | 'prefer' | false;
}

/** A policy with every value decided. Lengths of time are milliseconds. */
export interface Policy {
  readonly name: string;
  /** Oldest first. */
  readonly versions: readonly ProtocolVersion[];
  /** Undefined: all. */
  readonly namedGroups: readonly NamedGroup[] | undefined;
  readonly sealUntil: number;
  /** From a ticket key's birth to its end: `sealUntil` + `ticketLifetime`. */
  readonly openUntil: number;
  /** The same for tickets of TLS 1.2. */
  readonly openUntil12: number;
  readonly ticketLifetime: number;
  /** From a full handshake of TLS 1.2 to the last resumption of its session, by ticket. */
  readonly sessionLife12: number;
  /** The same by ID: what the cache in memory keeps. */
  readonly cachedLife12: number;
  readonly handshakeValidity: number;
  /** Undefined: the suite's own. */
  readonly usageLimit: number | undefined;
  /** 0: never. */
  readonly idleTimeout: number;
  /** Undefined: at the usage limit only. */
  readonly keyRenewal: KeyRenewal | undefined;
  readonly tickets: boolean;
  readonly sessionIds: boolean;
  readonly ticketsPerConnection: number;
  readonly ticketsPerResumption: number;
  readonly maxTickets: number;
  readonly singleUse: boolean;
  readonly maxSessions: number;
  readonly maxSessionBytes: number;
  readonly earlyData: boolean;
  readonly dangerouslyLongTls12Sessions: boolean;
  readonly pskModes: readonly ('psk_dhe_ke' | 'psk_ke')[];
  readonly dangerouslyAllowPskKe: 'fallback' | 'prefer' | undefined;
}

type Preset = Required<Omit<PolicyOptions, 'extends' | 'name'>>;

const usual: Preset = {
  versions: ['TLSv1.2', 'TLSv1.3'],
  namedGroups: 'all',
  sealUntil: '1h',
  ticketLifetime: '2h',
  handshakeValidity: '24h',
  usageLimit: null,
  idleTimeout: '2m',
  keyRenewal: { afterMilliseconds: 3_600_000 },
  tickets: true,
  sessionIds: true,
  ticketsPerConnection: 2,
  ticketsPerResumption: 1,
  maxTickets: 8,
  singleUse: false,
  maxSessions: 20_000,
  maxSessionBytes: 16 * 2 ** 20,
  earlyData: false,
  dangerouslyLongTls12Sessions: false,
  dangerouslyAllowPskKe: false,
};

export const presets: Readonly<Record<PolicyName, Preset>> = {
  strict: {
    ...usual,
    versions: ['TLSv1.3'],
    namedGroups: ['X25519MLKEM768'],
    sealUntil: '15m',
    ticketLifetime: '1h',
    handshakeValidity: '12h',
    keyRenewal: { afterMilliseconds: 600_000, afterBytes: 2 ** 30 },
    sessionIds: false,
  },
  default: usual,
  compatible: { ...usual, ticketLifetime: '12h', idleTimeout: '10m', keyRenewal: false },
};

/**
 * The policy of a name, or one made of options, with every value held against the house's bounds.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function resolvePolicy(given: PolicyName | PolicyOptions = 'default'): Policy {
  if (typeof given === 'string') {
    return decide(given, presetOf('policy', given));
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw wrong(`policy: expected ${NAMES.join(', ')}, or an object, got ${String(given)}`);
  }
  const { extends: base = 'default', name = 'custom', ...rest } = given;
  const preset = presetOf('policy.extends', base);
  for (const key of Object.keys(rest)) {
    if (!Object.hasOwn(preset, key)) {
      throw wrong(`policy: there is no "${key}"; there are ${Object.keys(preset).join(', ')}${hintFor(key)}`);
    }
  }
  const values = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  return decide(name, { ...preset, ...values });
}

function decide(name: string, given: Preset): Policy {
  const sealUntil = period('sealUntil', given.sealUntil);
  const ticketLifetime = period('ticketLifetime', given.ticketLifetime);
  const handshakeValidity = period('handshakeValidity', given.handshakeValidity);
  const idleTimeout = given.idleTimeout === 0 ? 0 : period('idleTimeout', given.idleTimeout);
  const usageLimit = given.usageLimit ?? undefined;
  const keyRenewal = given.keyRenewal === false ? undefined : checkRenewal(given.keyRenewal);
  const { ticketsPerConnection, ticketsPerResumption, maxTickets } = given;
  checkFlags(given);
  ticketKeySchedule({ sealingPeriod: sealUntil, ticketLifetime });
  checkTicketPolicy({
    ticketsPerConnection,
    ticketsPerResumption,
    maxTickets,
    ticketLifetime: Math.floor(ticketLifetime / 1000),
    handshakeValidity: Math.floor(handshakeValidity / 1000),
  });
  checkKeyLife({ usageLimit, ...(keyRenewal === undefined ? {} : { keyRenewal }) });
  checkWhole('maxSessions', given.maxSessions, 1, 10_000_000);
  checkWhole('maxSessionBytes', given.maxSessionBytes, 65_536, Number.MAX_SAFE_INTEGER);
  if (idleTimeout > 2 ** 31 - 1) {
    throw wrong(`policy.idleTimeout: at most 24 days, got ${given.idleTimeout}`);
  }
  const pskKe = given.dangerouslyAllowPskKe === false ? undefined : given.dangerouslyAllowPskKe;
  return derive({
    name,
    versions: VERSIONS.filter((version) => given.versions.includes(version)),
    namedGroups: given.namedGroups === 'all' ? undefined : given.namedGroups,
    sealUntil,
    ticketLifetime,
    handshakeValidity,
    usageLimit,
    idleTimeout,
    keyRenewal,
    tickets: given.tickets,
    sessionIds: given.sessionIds,
    ticketsPerConnection,
    ticketsPerResumption,
    maxTickets,
    singleUse: given.singleUse,
    maxSessions: given.maxSessions,
    maxSessionBytes: given.maxSessionBytes,
    earlyData: given.earlyData,
    dangerouslyLongTls12Sessions: given.dangerouslyLongTls12Sessions,
    dangerouslyAllowPskKe: pskKe,
  });
}

type Decided = Omit<Policy, 'openUntil' | 'openUntil12' | 'sessionLife12' | 'cachedLife12' | 'pskModes'>;

/** Fills in what follows from the rest. */
export function derive(decided: Decided): Policy {
  const { sealUntil, ticketLifetime, handshakeValidity, dangerouslyLongTls12Sessions: long } = decided;
  const lifetime12 = long ? ticketLifetime : Math.min(ticketLifetime, sealUntil);
  return {
    ...decided,
    openUntil: sealUntil + ticketLifetime,
    openUntil12: sealUntil + lifetime12,
    // A ticket may be renewed when it is used, but the master secret in it stays the same.
    sessionLife12: long ? handshakeValidity : Math.min(sealUntil, handshakeValidity),
    cachedLife12: Math.min(
      lifetime12,
      handshakeValidity,
      long ? Number.POSITIVE_INFINITY : TLS12_SESSION_LIFETIME * 1000,
    ),
    pskModes: decided.dangerouslyAllowPskKe === undefined ? ['psk_dhe_ke'] : ['psk_dhe_ke', 'psk_ke'],
  };
}

function checkFlags(given: Preset): void {
  for (const name of FLAGS) {
    if (typeof given[name] !== 'boolean') {
      throw wrong(`policy.${name}: expected true or false, got ${String(given[name])}`);
    }
  }
  const { versions, namedGroups, dangerouslyAllowPskKe: pskKe } = given;
  if (!Array.isArray(versions) || versions.length === 0 || !versions.every((one) => VERSIONS.includes(one))) {
    throw wrong(`policy.versions: expected one or more of ${VERSIONS.join(', ')}, got ${String(versions)}`);
  }
  const known = Object.keys(groupTable);
  const isList = Array.isArray(namedGroups) && namedGroups.length > 0;
  if (namedGroups !== 'all' && !(isList && namedGroups.every((one) => known.includes(one)))) {
    throw wrong(
      `policy.namedGroups: expected 'all', or one or more of ${known.join(', ')}, got ${String(namedGroups)}`,
    );
  }
  if (namedGroups !== 'all' && versions.includes('TLSv1.2') && namedGroups.every((one) => one === 'X25519MLKEM768')) {
    throw wrong('policy.namedGroups: X25519MLKEM768 is not for TLS 1.2; leave that out of policy.versions');
  }
  if (pskKe !== false && pskKe !== 'fallback' && pskKe !== 'prefer') {
    throw wrong(`policy.dangerouslyAllowPskKe: expected false, 'fallback' or 'prefer', got ${String(pskKe)}`);
  }
}

function checkRenewal(renewal: KeyRenewal): KeyRenewal {
  const known = ['afterMilliseconds', 'afterBytes', 'renegotiate12'];
  const isObject = typeof renewal === 'object' && renewal !== null;
  if (!isObject || !Object.keys(renewal).every((key) => known.includes(key))) {
    throw wrong(`policy.keyRenewal: expected false, or an object of ${known.join(', ')}`);
  }
  return renewal;
}

function checkWhole(name: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw wrong(`policy.${name}: expected a whole number from ${min} to ${max}, got ${value}`);
  }
}

function period(name: string, value: number | string): number {
  return parsePeriod(`policy.${name}`, value);
}

function presetOf(option: string, name: string): Preset {
  if (!Object.hasOwn(presets, name)) {
    throw wrong(`${option}: expected ${NAMES.join(', ')}, got ${String(name)}`);
  }
  return presets[name as PolicyName];
}

function hintFor(key: string): string {
  return key.startsWith('openUntil') ? ' (openUntil is sealUntil + ticketLifetime: set those)' : '';
}

function wrong(text: string): TLSError {
  return new TLSError('TLS_ERR_CONFIG', text);
}

const NAMES = Object.keys(presets) as PolicyName[];
const VERSIONS: readonly ProtocolVersion[] = ['TLSv1.2', 'TLSv1.3'];
const FLAGS = ['tickets', 'sessionIds', 'singleUse', 'earlyData', 'dangerouslyLongTls12Sessions'] as const;
