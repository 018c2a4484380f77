/**
 * What all members of a ring agree on, and the ring's id, which is a hash of it: members that disagree never mix.
 *
 *     ring id = SHA-256("mayfly ring 1 configuration" ‖ fleetName ‖ kem ‖ epochLength ‖ ticketLifetime
 *                       ‖ ticketLifetime12 ‖ heartbeat ‖ policies, sorted ‖ allow-list, sorted)
 *
 * docs/ring.md
 */

import { sameBytes, toHex, utf8 } from '../bytes/bytes.ts';
import { Writer } from '../bytes/writer.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { TLSError } from '../errors.ts';

/** How keys travel: ML-KEM-768 with X25519, or X25519 alone, which a later quantum computer breaks. */
export type RingKem = 'x-wing' | 'x25519';

/** Times in milliseconds. */
export interface RingOptions {
  /** 1 to 64 bytes of UTF-8. */
  readonly fleetName: string;
  /** The members' Ed25519 public keys, 32 bytes each, in any order: 1 to 512. */
  readonly allowList: readonly Uint8Array[];
  /** A label for each group of servers that may open each other's tickets. Default `['default']`. */
  readonly policies?: readonly string[];
  /** How long a key seals: 6 s to 6 h. Default 1 h. */
  readonly epochLength?: number;
  /** How long a ticket may be used, and so a key opens after it sealed. Default 2 h. */
  readonly ticketLifetime?: number;
  /** The same of TLS 1.2, whose tickets hold master secrets. Default an epoch, at most `ticketLifetime`. */
  readonly ticketLifetime12?: number;
  /** Between two visits to the store: at most a twelfth of an epoch. Default 10 s, less for short epochs. */
  readonly heartbeat?: number;
  /** X25519 without ML-KEM: who records now opens it all with a quantum computer later. Default false. */
  readonly dangerouslyClassicalKem?: boolean;
}

export interface RingConfiguration {
  readonly fleetName: string;
  readonly kem: RingKem;
  readonly epochLength: number;
  readonly ticketLifetime: number;
  readonly ticketLifetime12: number;
  readonly heartbeat: number;
  readonly policies: readonly string[];
  readonly allowList: readonly Uint8Array[];
  /** From a record's writing to the first ticket under its key: every connected member has visited the store by then. */
  readonly settle: number;
  /** A clock that is further off than this counts as wrong: a minute, less for short epochs. */
  readonly maxSkew: number;
  /** How many epochs without a fresh key are bridged by the ratchet: those of one day, at most 24. */
  readonly ratchetLimit: number;
}

/**
 * Fills in the defaults and holds all against the house's bounds.
 * @throws TLSError `TLS_ERR_CONFIG`
 */
export function ringConfiguration(options: RingOptions): RingConfiguration {
  const { epochLength = HOUR, ticketLifetime = 2 * HOUR } = options;
  const { ticketLifetime12 = Math.min(ticketLifetime, epochLength) } = options;
  const { policies = ['default'], heartbeat = Math.min(10_000, Math.floor(epochLength / 12)) } = options;
  checkDuration('epochLength', epochLength, 6_000, 6 * HOUR);
  checkDuration('ticketLifetime', ticketLifetime, 1_000, 23 * HOUR);
  checkDuration('ticketLifetime12', ticketLifetime12, 1_000, ticketLifetime);
  checkDuration('heartbeat', heartbeat, 250, Math.floor(epochLength / 12));
  // A ratcheted key is derived one epoch before it seals: the longest life that a key can have.
  const life = 2 * epochLength + ticketLifetime;
  if (life > MAX_KEY_LIFE) {
    throw wrong(
      `two epochs of ${epochLength / 1000} s and a ticket lifetime of ${ticketLifetime / 1000} s come to ` +
        `${life / 1000} s: a key may live at most ${MAX_KEY_LIFE / 1000} s (24 hours)`,
    );
  }
  const alive = (RATCHET_EPOCHS + 2) * (Math.ceil(ticketLifetime / epochLength) + 3);
  if (alive > MAX_HELD_KEYS) {
    throw wrong(
      `tickets of ${ticketLifetime / 1000} s with an epoch of ${epochLength / 1000} s keep up to ${alive} keys alive: ` +
        `at most ${MAX_HELD_KEYS} are allowed, so lengthen the epoch or shorten the tickets`,
    );
  }
  return {
    fleetName: checkText('fleetName', options.fleetName),
    kem: options.dangerouslyClassicalKem === true ? 'x25519' : 'x-wing',
    epochLength,
    ticketLifetime,
    ticketLifetime12,
    heartbeat,
    policies: checkPolicies(policies),
    allowList: checkAllowList(options.allowList),
    settle: 2 * heartbeat,
    maxSkew: Math.min(60_000, Math.floor(epochLength / 4)),
    ratchetLimit: Math.min(RATCHET_EPOCHS, Math.floor(MAX_KEY_LIFE / epochLength)),
  };
}

/** 32 bytes. */
export function ringId(provider: CryptoProvider, configuration: RingConfiguration): Uint8Array {
  const writer = new Writer()
    .bytes(LABEL)
    .vector8(utf8(configuration.fleetName))
    .vector8(utf8(configuration.kem))
    .u64(configuration.epochLength)
    .u64(configuration.ticketLifetime)
    .u64(configuration.ticketLifetime12)
    .u64(configuration.heartbeat)
    .u16(configuration.policies.length);
  for (const policy of configuration.policies) {
    writer.vector8(utf8(policy));
  }
  for (const key of configuration.allowList) {
    writer.bytes(key);
  }
  return Uint8Array.from(provider.hash('sha256', writer.finish()));
}

function checkPolicies(policies: readonly string[]): readonly string[] {
  if (policies.length === 0 || policies.length > MAX_POLICIES || new Set(policies).size !== policies.length) {
    throw wrong(`policies must be 1 to ${MAX_POLICIES} different labels, got ${policies.length}`);
  }
  return policies.map((policy) => checkText('a policy label', policy)).sort();
}

function checkAllowList(keys: readonly Uint8Array[]): readonly Uint8Array[] {
  if (keys.length === 0 || keys.length > MAX_ALLOWED) {
    throw wrong(`the allow-list must hold 1 to ${MAX_ALLOWED} public keys, got ${keys.length}`);
  }
  const sorted = keys.map((key) => Uint8Array.from(key)).sort((a, b) => (toHex(a) < toHex(b) ? -1 : 1));
  for (const [index, key] of sorted.entries()) {
    if (key.length !== PUBLIC_KEY_LENGTH) {
      throw wrong(`a public key of the allow-list must have ${PUBLIC_KEY_LENGTH} bytes, got ${key.length}`);
    }
    if (index > 0 && sameBytes(key, sorted[index - 1])) {
      throw wrong('a public key is twice in the allow-list');
    }
  }
  return sorted;
}

function checkText(what: string, text: string): string {
  const { length } = utf8(text);
  if (length === 0 || length > MAX_TEXT || text !== text.normalize('NFC')) {
    throw wrong(`${what} must be 1 to ${MAX_TEXT} bytes of normalized UTF-8, got ${length}`);
  }
  return text;
}

function checkDuration(what: string, ms: number, min: number, max: number): void {
  if (!Number.isInteger(ms) || ms < min || ms > max) {
    throw wrong(`${what} must be from ${min} to ${max} whole milliseconds, got ${ms}`);
  }
}

function wrong(detail: string): TLSError {
  return new TLSError('TLS_ERR_CONFIG', detail);
}

/** Bytes of an Ed25519 public key (RFC 8032 §5.1.5). */
export const PUBLIC_KEY_LENGTH = 32;
/** Milliseconds from a key's making to its erasure, whatever the configuration and the clocks say. */
export const MAX_KEY_LIFE = 24 * 3_600_000;
/** Keys that one member holds: bounds its memory, whatever others publish. */
export const MAX_HELD_KEYS = 1_024;

const HOUR = 3_600_000;
const RATCHET_EPOCHS = 24;
const MAX_POLICIES = 64;
const MAX_ALLOWED = 512;
const MAX_TEXT = 64;
const LABEL = utf8('mayfly ring 1 configuration');
