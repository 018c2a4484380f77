/**
 * What was stolen, sorted: the ring's records, and strings that may be keys, each under what the public would see of it if it
 * were one. Sorting tries nothing yet that costs a decryption.
 */

import { toHex } from '../../src/bytes/bytes.ts';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { type RingConfiguration, ringId } from '../../src/fleet/configuration.ts';
import { type EpochRecord, openEpochRecord } from '../../src/fleet/records/epoch.ts';
import { type MemberRecord, openMemberRecord } from '../../src/fleet/records/member.ts';
import { openOrderRecord } from '../../src/fleet/records/order.ts';
import { RingTrust } from '../../src/fleet/records/signed.ts';
import { openWelcomeRecord, type WelcomeRecord } from '../../src/fleet/records/welcome.ts';
import { ByteSet, fieldsOf, keyOf, spelledOut, windows } from './candidates.ts';
import { privateKeysFrom, type Sign, signsFor, signsOf, x25519PublicKey } from './guesses.ts';
import type { StoreHistory } from './store-recorder.ts';

type Origin = 'store' | 'files' | 'memory';

/** How often each kind of attempt was made. */
export type Attempts = Record<
  'strings' | 'epochSecrets' | 'ticketKeys' | 'privateKeys' | 'envelopes' | 'connections',
  number
>;

export interface Candidate {
  readonly bytes: Uint8Array;
  readonly origin: Origin;
}

export class Loot {
  readonly attempts: Attempts = {
    strings: 0,
    epochSecrets: 0,
    ticketKeys: 0,
    privateKeys: 0,
    envelopes: 0,
    connections: 0,
  };
  readonly trust: RingTrust;
  /** Every offset of everything is tried as a ticket key as well. */
  readonly #thorough = (process.env.MAYFLY_THEFT ?? '').includes('thorough');
  readonly members: MemberRecord[] = [];
  readonly epochs: EpochRecord[] = [];
  readonly welcomes: WelcomeRecord[] = [];
  /** Values from the store, sealed as tickets are, but bound to a session ID; by their hex. */
  readonly stored = new Map<string, Uint8Array>();
  readonly fields: Candidate[] = [];
  /** 32 bytes each that may be ticket keys. */
  readonly guesses: Uint8Array[] = [];
  /** By what the public would see of it if it were an epoch's secret: key id, names of ticket keys. */
  readonly bySign = new Map<string, Uint8Array>();
  /** By the x25519 part of its public key: 96 bytes that may be a prekey's private part. */
  readonly byPublicKey = new Map<string, Uint8Array>();
  readonly #configuration: RingConfiguration;
  /** What makes a key id of an epoch's secret, and the name of each policy's ticket key. */
  readonly #signs: readonly Sign[];
  readonly #seenValues = new ByteSet();
  readonly #seenContents = new ByteSet();
  readonly #seenStrings = new ByteSet();
  readonly #seenFields = new ByteSet();

  /** The configuration is no secret. */
  constructor(configuration: RingConfiguration) {
    this.#configuration = configuration;
    this.#signs = signsFor(configuration.policies);
    this.trust = new RingTrust(provider, ringId(provider, configuration), configuration.allowList);
  }

  /** Only to know of the ring's records, without trying their bytes as keys. */
  readStore({ commands }: StoreHistory): void {
    this.#readSessions(commands);
    for (const value of commands.flat()) {
      this.#read(value);
    }
  }

  stealStore({ commands, files }: StoreHistory): void {
    this.#readSessions(commands);
    for (const value of [...commands.flat(), ...files]) {
      const record = this.#read(value);
      this.#take(value);
      for (const field of record === undefined ? [] : fieldsOf({ record, signature: value.subarray(-64) })) {
        this.#addField(field, 'store');
      }
    }
  }

  /** Configurations, identity files, keys of certificates: each piece is tried as everything. */
  stealFiles(files: readonly Uint8Array[]): void {
    for (const file of files) {
      this.#take(file);
      for (const content of spelledOut(file)) {
        this.#take(content);
        for (const length of content.length > LONGEST_KEY_FILE ? [] : [16, 32, 48]) {
          for (const piece of windows(content, length)) {
            this.#addField(piece, 'files');
          }
        }
      }
    }
  }

  /** What a process held, each secret by itself. */
  stealMemory(secrets: readonly Uint8Array[]): void {
    for (const secret of secrets) {
      this.#take(secret);
      this.#addField(secret, 'memory');
    }
  }

  /** Every 32 bytes at every offset may be an epoch's secret. */
  #take(content: Uint8Array): void {
    if (!this.#seenContents.add(content)) {
      return;
    }
    // As one text, of which each is a part: nine of ten are known already, and cost no bytes of their own.
    const text = keyOf(content);
    for (let at = 0; at + SECRET_LENGTH <= content.length; at++) {
      if (this.#seenStrings.addKey(text.slice(at, at + SECRET_LENGTH))) {
        this.attempts.strings++;
        const bytes = new Uint8Array(content.subarray(at, at + SECRET_LENGTH));
        this.addSigns(bytes);
        if (this.#thorough) {
          this.guesses.push(bytes);
        }
      }
    }
  }

  #addField(field: Uint8Array, origin: Origin): void {
    if (!this.#seenFields.add(field)) {
      return;
    }
    const bytes = Uint8Array.from(field);
    this.fields.push({ bytes, origin });
    if (bytes.length === 32) {
      this.guesses.push(bytes);
    }
    for (const material of privateKeysFrom(bytes, origin !== 'store')) {
      this.attempts.privateKeys++;
      this.byPublicKey.set(keyOf(x25519PublicKey(material.subarray(64))), material);
    }
  }

  /** To be recognized by what others would know an epoch by, if this were its secret. */
  addSigns(bytes: Uint8Array): void {
    this.attempts.epochSecrets++;
    for (const sign of signsOf(bytes, this.#signs)) {
      this.bySign.set(sign, bytes);
    }
  }

  #readSessions(commands: StoreHistory['commands']): void {
    for (const [name, key, value] of commands) {
      if (keyOf(name) === 'SET' && keyOf(key).includes(':session:')) {
        this.stored.set(toHex(value), value);
      }
    }
  }

  /** The record that this is, if it is one and new. */
  #read(value: Uint8Array): object | undefined {
    if (!this.#seenValues.add(value)) {
      return undefined;
    }
    const { kem } = this.#configuration;
    const member = openMemberRecord(this.trust, kem, value);
    const epoch = openEpochRecord(this.trust, kem, value);
    const welcome = openWelcomeRecord(this.trust, kem, value);
    const order = openOrderRecord(this.trust, value);
    if (typeof member === 'object') {
      this.members.push(member);
    }
    if (typeof epoch === 'object') {
      this.epochs.push(epoch);
    }
    if (typeof welcome === 'object') {
      this.welcomes.push(welcome);
    }
    return [member, epoch, welcome, order].find((record) => typeof record === 'object') as object | undefined;
  }
}

/** Bytes of an epoch's secret. */
const SECRET_LENGTH = 32;
/** Bytes: what is longer is a certificate, and public. */
const LONGEST_KEY_FILE = 256;
