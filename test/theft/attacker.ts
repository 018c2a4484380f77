/**
 * An honest attacker: knows the protocol and the source, has whatever was stolen, and tries all that it allows.
 *
 *     any string ─▶ an epoch's secret?        its key id and its ticket keys' names are public: one look-up each
 *                ─▶ a ticket key?             opens a ticket
 *                ─▶ a master secret, a PSK?   opens a connection
 *                ─▶ a prekey's private part?  its public part was announced ─▶ opens envelopes and welcomes
 *     epoch secret ─▶ working keys of all policies; the ratchet; the next secret, with any string as its fresh part
 *     ticket ─▶ master secret ─▶ all recorded TLS 1.2 connections;  PSK ─▶ the TLS 1.3 connections that offered it
 *
 * The same code serves every theft: what it opens differs by what it was given. With MAYFLY_THEFT=thorough every offset of
 * everything is tried as everything, which takes minutes; else the dear tests have the fields of records and files.
 */

import { concat, EMPTY, sameBytes, toHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import { X25519Exchange } from '../../src/crypto/x25519.ts';
import { type RingConfiguration, ringId } from '../../src/fleet/configuration.ts';
import { keyIdOf, ratchet, type WorkingKeyTarget, workingKey, workingKeys } from '../../src/fleet/epoch-secret.ts';
import { type EpochRecord, openEnvelope, openEpochRecord } from '../../src/fleet/records/epoch.ts';
import { type MemberRecord, openMemberRecord } from '../../src/fleet/records/member.ts';
import { openOrderRecord } from '../../src/fleet/records/order.ts';
import { RingTrust } from '../../src/fleet/records/signed.ts';
import { openWelcome, openWelcomeRecord, type WelcomeRecord } from '../../src/fleet/records/welcome.ts';
import { hkdfExtract } from '../../src/keys/hkdf.ts';
import type { SessionState } from '../../src/session/session-state.ts';
import { openTls12, openTls13, pskFits } from './breaker.ts';
import { ByteSet, fieldsOf, keyOf, spelledOut, windows } from './candidates.ts';
import { type Conversation, keyNameOf } from './conversation.ts';
import { identityOf, keyShare, openTicketWith, privateKeysFrom, signInfos, signsOf } from './guesses.ts';
import type { StoreHistory } from './store-recorder.ts';

type Origin = 'store' | 'files' | 'memory';

/** What the attacker has come to know. Numbers of conversations are those of `listen`. */
export interface Findings {
  readonly epochSecrets: number;
  /** Tickets, hex. */
  readonly tickets: ReadonlySet<string>;
  /** Sessions by ID as they lay in the store, hex. */
  readonly stored: ReadonlySet<string>;
  /** The first application data of each connection that opened. */
  readonly connections: ReadonlyMap<number, Uint8Array>;
  /** TLS 1.3 connections whose PSK is known for sure: the binder verifies. */
  readonly psks: ReadonlySet<number>;
}

/** How often each kind of attempt was made. */
export type Attempts = Record<
  'strings' | 'epochSecrets' | 'ticketKeys' | 'privateKeys' | 'envelopes' | 'connections',
  number
>;

interface Candidate {
  readonly bytes: Uint8Array;
  readonly origin: Origin;
}

export class Attacker {
  readonly attempts: Attempts = {
    strings: 0,
    epochSecrets: 0,
    ticketKeys: 0,
    privateKeys: 0,
    envelopes: 0,
    connections: 0,
  };
  readonly #configuration: RingConfiguration;
  readonly #trust: RingTrust;
  /** Of HKDF: what makes a key id of an epoch's secret, and the name of each policy's ticket key. */
  readonly #signs: readonly Uint8Array[];
  readonly #thorough = (process.env.MAYFLY_THEFT ?? '').includes('thorough');

  readonly #conversations: Conversation[] = [];
  readonly #tickets = new Map<string, Uint8Array>();
  /** Values from the store, sealed as tickets are, but bound to a session ID. */
  readonly #stored = new Map<string, Uint8Array>();
  readonly #sessionIds = new Map<string, Uint8Array>();
  readonly #members: MemberRecord[] = [];
  readonly #epochs: EpochRecord[] = [];
  readonly #welcomes: WelcomeRecord[] = [];

  readonly #seenValues = new ByteSet();
  readonly #seenContents = new ByteSet();
  readonly #seenStrings = new ByteSet();
  readonly #seenFields = new ByteSet();
  readonly #tried = new Set<string>();
  /** By what the public would see of it if it were an epoch's secret: key id, names of ticket keys. */
  readonly #bySign = new Map<string, Uint8Array>();
  /** By the x25519 part of its public key: 96 bytes that may be a prekey's private part. */
  readonly #byPublicKey = new Map<string, Uint8Array>();
  readonly #fields: Candidate[] = [];
  /** How many of the fields have been tried on what. */
  readonly #progress = new Map<string, number>();

  readonly #identitySeeds: Uint8Array[] = [];
  readonly #epochSecrets = new Map<string, Uint8Array>();
  /** Strings that have opened a ticket. */
  readonly #ticketKeys: Uint8Array[] = [];
  readonly #states = new Map<string, SessionState>();
  readonly #opened = new Map<number, Uint8Array>();
  readonly #psks = new Set<number>();

  /** The configuration is no secret. */
  constructor(configuration: RingConfiguration) {
    this.#configuration = configuration;
    this.#signs = signInfos(configuration.policies);
    this.#trust = new RingTrust(provider, ringId(provider, configuration), configuration.allowList);
  }

  /** How many sessions by ID were seen in the store. */
  get storedSessions(): number {
    return this.#stored.size;
  }

  get findings(): Findings {
    return {
      epochSecrets: this.#epochSecrets.size,
      tickets: new Set([...this.#states.keys()].filter((hex) => this.#tickets.has(hex))),
      stored: new Set([...this.#states.keys()].filter((hex) => this.#stored.has(hex))),
      connections: new Map(this.#opened),
      psks: new Set(this.#psks),
    };
  }

  /** Has recorded these connections, all of them so far. */
  listen(conversations: readonly Conversation[]): this {
    for (const conversation of conversations.slice(this.#conversations.length)) {
      this.#conversations.push(conversation);
      for (const ticket of conversation.tickets) {
        this.#tickets.set(toHex(ticket), ticket);
      }
      const { legacySessionIdEcho } = conversation.serverHello;
      if (conversation.version === 'TLSv1.2' && legacySessionIdEcho.length > 0) {
        this.#sessionIds.set(toHex(legacySessionIdEcho), legacySessionIdEcho);
      }
    }
    return this.#pursue();
  }

  /** Only to know of the ring's records, without trying their bytes as keys. */
  readStore({ commands }: StoreHistory): this {
    this.#readSessions(commands);
    for (const value of commands.flat()) {
      this.#read(value);
    }
    return this.#pursue();
  }

  stealStore({ commands, files }: StoreHistory): this {
    this.#readSessions(commands);
    for (const value of [...commands.flat(), ...files]) {
      const record = this.#read(value);
      this.#take(value, 'store');
      for (const field of record === undefined ? [] : fieldsOf({ record, signature: value.subarray(-64) })) {
        this.#addField(field, 'store');
      }
    }
    return this.#pursue();
  }

  /** Configurations, identity files, keys of certificates: each piece is tried as everything. */
  stealFiles(files: readonly Uint8Array[]): this {
    for (const file of files) {
      this.#take(file, 'files');
      for (const content of spelledOut(file)) {
        this.#take(content, 'files');
        for (const length of content.length > LONGEST_KEY_FILE ? [] : [16, 32, 48]) {
          for (const piece of windows(content, length)) {
            this.#addField(piece, 'files');
          }
        }
      }
    }
    return this.#pursue();
  }

  /** What a process held, each secret by itself. */
  stealMemory(secrets: readonly Uint8Array[]): this {
    for (const secret of secrets) {
      this.#take(secret, 'memory');
      this.#addField(secret, 'memory');
    }
    return this.#pursue();
  }

  /** Every 32 bytes at every offset may be an epoch's secret. */
  #take(content: Uint8Array, origin: Origin): void {
    if (!this.#seenContents.add(content)) {
      return;
    }
    for (const window of windows(content)) {
      if (this.#seenStrings.add(window)) {
        this.attempts.strings++;
        const bytes = Uint8Array.from(window);
        for (const sign of this.#signsOf(bytes)) {
          this.#bySign.set(sign, bytes);
        }
        if (this.#thorough) {
          this.#addField(bytes, origin);
        }
      }
    }
  }

  #addField(field: Uint8Array, origin: Origin): void {
    if (!this.#seenFields.add(field)) {
      return;
    }
    const bytes = Uint8Array.from(field);
    this.#fields.push({ bytes, origin });
    for (const material of privateKeysFrom(bytes, origin !== 'store')) {
      this.attempts.privateKeys++;
      const { publicKey } = X25519Exchange.fromScalar(material.slice(64));
      this.#byPublicKey.set(keyOf(publicKey), material);
    }
  }

  /** What others would know an epoch by, if this were its secret. */
  #signsOf(bytes: Uint8Array): string[] {
    this.attempts.epochSecrets++;
    return signsOf(bytes, this.#signs);
  }

  #readSessions(commands: StoreHistory['commands']): void {
    for (const [name, key, value] of commands) {
      if (keyOf(name) === 'SET' && keyOf(key).includes(':session:')) {
        this.#stored.set(toHex(value), value);
      }
    }
  }

  /** The record that this is, if it is one and new. */
  #read(value: Uint8Array): object | undefined {
    if (!this.#seenValues.add(value)) {
      return undefined;
    }
    const { kem } = this.#configuration;
    const member = openMemberRecord(this.#trust, kem, value);
    const epoch = openEpochRecord(this.#trust, kem, value);
    const welcome = openWelcomeRecord(this.#trust, kem, value);
    const order = openOrderRecord(this.#trust, value);
    if (typeof member === 'object') {
      this.#members.push(member);
    }
    if (typeof epoch === 'object') {
      this.#epochs.push(epoch);
    }
    if (typeof welcome === 'object') {
      this.#welcomes.push(welcome);
    }
    return [member, epoch, welcome, order].find((record) => typeof record === 'object') as object | undefined;
  }

  /** Until nothing new comes of it. */
  #pursue(): this {
    for (let before = -1; before !== this.#knowledge; ) {
      before = this.#knowledge;
      this.#recognizeSecrets();
      this.#openEnvelopes();
      this.#guessNextSecrets();
      this.#openTickets();
      this.#openConnections();
    }
    return this;
  }

  get #knowledge(): number {
    return this.#epochSecrets.size + this.#states.size + this.#opened.size + this.#psks.size;
  }

  #recognizeSecrets(): void {
    const keyIds = [...this.#epochs, ...this.#welcomes.flatMap(({ keys }) => keys)].map(({ keyId }) => keyOf(keyId));
    const names = [...this.#tickets.values()].map((ticket) => keyOf(ticket.subarray(1, 17)));
    const held = this.#members.flatMap((member) => member.held.map(({ keyId }) => keyOf(keyId)));
    for (const sign of new Set([...keyIds, ...names, ...held])) {
      const secret = this.#bySign.get(sign);
      if (secret !== undefined) {
        this.#learnSecret(secret);
      }
    }
  }

  /** And all that follow from it by the ratchet, whichever epoch it is of. */
  #learnSecret(secret: Uint8Array): void {
    if (this.#epochSecrets.has(keyOf(secret))) {
      return;
    }
    this.#epochSecrets.set(keyOf(secret), secret);
    const now = Math.max(...this.#epochs.map(({ epoch }) => epoch), 0);
    for (let from = now - 12; from <= now + 2; from++) {
      let next = Secret.copy('stolen', secret);
      for (let depth = 1; depth <= 3; depth++) {
        next = ratchet(provider, next, from + depth);
        const bytes = Uint8Array.from(next.expose());
        for (const sign of this.#signsOf(bytes)) {
          this.#bySign.set(sign, bytes);
        }
      }
    }
  }

  /** With private keys whose public part was announced; and with those that an identity could be thought to give, in any case. */
  #openEnvelopes(): void {
    for (const { prekey } of this.#members) {
      const material = this.#byPublicKey.get(keyOf(prekey.subarray(-32)));
      if (material !== undefined) {
        this.#openAllWith(material);
      }
    }
    for (const { bytes, origin } of this.#fields) {
      if (origin === 'files' && bytes.length === 32) {
        this.#once(`identity ${keyOf(bytes)}`, () => {
          if (this.#configuration.allowList.some((publicKey) => sameBytes(publicKey, identityOf(bytes)))) {
            this.#identitySeeds.push(bytes);
          }
        });
      }
    }
    for (const material of this.#identitySeeds.flatMap((seed) => privateKeysFrom(seed, true))) {
      this.#openAllWith(material);
    }
  }

  #openAllWith(material: Uint8Array): void {
    const { kem } = this.#configuration;
    for (const record of this.#epochs) {
      for (const envelope of record.envelopes) {
        this.#once(`envelope ${keyOf(material)} ${keyOf(envelope.ciphertext)}`, () => {
          this.attempts.envelopes++;
          const secret = openEnvelope(this.#trust, kem, record, envelope, keyShare(material));
          this.#learnOpened(secret === undefined ? [] : [secret]);
        });
      }
    }
    for (const record of this.#welcomes) {
      this.#once(`welcome ${keyOf(material)} ${keyOf(record.ciphertext)}`, () => {
        this.attempts.envelopes++;
        this.#learnOpened(openWelcome(this.#trust, kem, record, keyShare(material)) ?? []);
      });
    }
  }

  #learnOpened(secrets: readonly Secret[]): void {
    for (const secret of secrets) {
      this.#learnSecret(Uint8Array.from(secret.expose()));
    }
  }

  /** A new secret is salted with an old one: does it follow from the old one and something that was seen? */
  #guessNextSecrets(): void {
    const keyIds = new Set(this.#epochs.map(({ keyId }) => toHex(keyId)));
    for (const salt of this.#epochSecrets.values()) {
      for (const { bytes } of this.#newFieldsFor(`next ${keyOf(salt)}`)) {
        this.attempts.epochSecrets++;
        const secret = hkdfExtract(provider, 'sha256', salt, bytes, 'guess');
        if (keyIds.has(toHex(keyIdOf(provider, secret)))) {
          this.#learnSecret(Uint8Array.from(secret.expose()));
        }
      }
    }
  }

  #openTickets(): void {
    const keys: Uint8Array[] = [];
    for (const secret of this.#epochSecrets.values()) {
      for (const policy of this.#configuration.policies) {
        for (const target of Object.keys(workingKeys) as WorkingKeyTarget[]) {
          const key = workingKey(provider, Secret.copy('stolen', secret), { policy, target });
          keys.push(Uint8Array.from(key.expose().subarray(0, 32)));
        }
      }
    }
    for (const ticket of this.#sealed) {
      for (const key of keys) {
        this.#tryTicket(ticket, key);
      }
    }
    // Strings that are not known to be anything: against one ticket of each key, then against all.
    const samples = new Map<string, Uint8Array>();
    for (const ticket of this.#tickets.values()) {
      const group = `${ticket[0]} ${keyNameOf(ticket)}`;
      samples.set(group, samples.get(group) ?? ticket);
    }
    for (const [group, sample] of samples) {
      for (const { bytes } of this.#newFieldsFor(`ticket ${group}`)) {
        this.attempts.ticketKeys++;
        if (bytes.length === 32 && openTicketWith(bytes, sample, EMPTY) !== undefined) {
          this.#ticketKeys.push(bytes);
        }
      }
    }
    for (const key of this.#ticketKeys) {
      for (const ticket of this.#sealed) {
        this.#tryTicket(ticket, key);
      }
    }
  }

  get #sealed(): readonly Uint8Array[] {
    return [...this.#tickets.values(), ...this.#stored.values()];
  }

  #tryTicket(ticket: Uint8Array, key: Uint8Array): void {
    const hex = toHex(ticket);
    for (const boundTo of this.#stored.has(hex) ? this.#sessionIds.values() : [EMPTY]) {
      this.#once(`ticket ${hex} ${keyOf(key)} ${keyOf(boundTo)}`, () => {
        this.attempts.ticketKeys++;
        const state = openTicketWith(key, ticket, boundTo);
        if (state !== undefined) {
          this.#states.set(hex, state);
        }
      });
    }
  }

  #openConnections(): void {
    const guesses = this.#fields.filter(({ origin }) => origin !== 'store' || this.#thorough);
    const keys = [
      ...[...this.#states.values()].map(({ secret }) => Uint8Array.from(secret.expose())),
      ...guesses.map(({ bytes }) => bytes),
    ];
    for (const [index, conversation] of this.#conversations.entries()) {
      for (const key of keys.filter(({ length }) => length === 48 || length === 32)) {
        this.#once(`connection ${index} ${keyOf(key)}`, () => this.#tryConnection(index, conversation, key));
      }
    }
  }

  #tryConnection(index: number, conversation: Conversation, key: Uint8Array): void {
    this.attempts.connections++;
    if (conversation.version === 'TLSv1.2') {
      this.#keep(index, key.length === 48 ? openTls12(conversation, key) : undefined);
      return;
    }
    if (conversation.tickets.some((ticket) => pskFits(conversation, ticket, key))) {
      this.#psks.add(index);
      // The PSK is right. Now all that is at hand in place of what the key exchange came to.
      const known = [...this.#epochSecrets.values()].flatMap((secret) => [secret, concat(secret, secret)]);
      for (const shared of [new Uint8Array(0), new Uint8Array(32), new Uint8Array(64), key, ...known]) {
        this.attempts.connections++;
        this.#keep(index, openTls13(conversation, key, shared));
      }
    }
  }

  #keep(index: number, content: Uint8Array | undefined): void {
    if (content !== undefined) {
      this.#opened.set(index, content);
    }
  }

  #newFieldsFor(what: string): readonly Candidate[] {
    const done = this.#progress.get(what) ?? 0;
    this.#progress.set(what, this.#fields.length);
    return this.#fields.slice(done);
  }

  #once(what: string, attempt: () => void): void {
    if (!this.#tried.has(what)) {
      this.#tried.add(what);
      attempt();
    }
  }
}

/** Bytes: what is longer is a certificate, and public. */
const LONGEST_KEY_FILE = 256;
