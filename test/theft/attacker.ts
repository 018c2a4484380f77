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
 * everything is tried as a ticket key too, which takes minutes; else only fields of records and files.
 */

import { concat, EMPTY, sameBytes, toHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider as provider } from '../../src/crypto/node-provider.ts';
import type { RingConfiguration } from '../../src/fleet/configuration.ts';
import { keyIdOf, ratchet, type WorkingKeyTarget, workingKey, workingKeys } from '../../src/fleet/epoch-secret.ts';
import { openEnvelope } from '../../src/fleet/records/epoch.ts';
import { prekeyIdOf } from '../../src/fleet/records/member.ts';
import { openWelcome } from '../../src/fleet/records/welcome.ts';
import { hkdfExtract } from '../../src/keys/hkdf.ts';
import type { SessionState } from '../../src/session/session-state.ts';
import { openTls12, openTls13, pskFits } from './breaker.ts';
import { keyOf } from './candidates.ts';
import { type Conversation, keyNameOf } from './conversation.ts';
import { identityOf, keyShare, openTicketWith, privateKeysFrom } from './guesses.ts';
import { type Attempts, Loot } from './loot.ts';
import type { StoreHistory } from './store-recorder.ts';

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

export class Attacker {
  readonly #configuration: RingConfiguration;
  readonly #loot: Loot;

  readonly #conversations: Conversation[] = [];
  readonly #tickets = new Map<string, Uint8Array>();
  readonly #sessionIds = new Map<string, Uint8Array>();

  readonly #tried = new Set<string>();
  /** How many of the loot's strings have been tried on what. */
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
    this.#loot = new Loot(configuration);
  }

  get attempts(): Attempts {
    return this.#loot.attempts;
  }

  /** How many sessions by ID were seen in the store. */
  get storedSessions(): number {
    return this.#loot.stored.size;
  }

  get findings(): Findings {
    return {
      epochSecrets: this.#epochSecrets.size,
      tickets: new Set([...this.#states.keys()].filter((hex) => this.#tickets.has(hex))),
      stored: new Set([...this.#states.keys()].filter((hex) => this.#loot.stored.has(hex))),
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
  readStore(history: StoreHistory): this {
    this.#loot.readStore(history);
    return this.#pursue();
  }

  stealStore(history: StoreHistory): this {
    this.#loot.stealStore(history);
    return this.#pursue();
  }

  /** Configurations, identity files, keys of certificates: each piece is tried as everything. */
  stealFiles(files: readonly Uint8Array[]): this {
    this.#loot.stealFiles(files);
    return this.#pursue();
  }

  /** What a process held, each secret by itself. */
  stealMemory(secrets: readonly Uint8Array[]): this {
    this.#loot.stealMemory(secrets);
    return this.#pursue();
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
    const keyIds = [...this.#loot.epochs, ...this.#loot.welcomes.flatMap(({ keys }) => keys)].map(({ keyId }) =>
      keyOf(keyId),
    );
    const names = [...this.#tickets.values()].map((ticket) => keyOf(ticket.subarray(1, 17)));
    const held = this.#loot.members.flatMap((member) => member.held.map(({ keyId }) => keyOf(keyId)));
    for (const sign of new Set([...keyIds, ...names, ...held])) {
      const secret = this.#loot.bySign.get(sign);
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
    const now = Math.max(...this.#loot.epochs.map(({ epoch }) => epoch), 0);
    for (let from = now - 12; from <= now + 2; from++) {
      let next = Secret.copy('stolen', secret);
      for (let depth = 1; depth <= 3; depth++) {
        next = ratchet(provider, next, from + depth);
        this.#loot.addSigns(Uint8Array.from(next.expose()));
      }
    }
  }

  /** With private keys whose public part was announced; and with those that an identity could be thought to give, in any case. */
  #openEnvelopes(): void {
    for (const { prekey } of this.#loot.members) {
      const material = this.#loot.byPublicKey.get(keyOf(prekey.subarray(-32)));
      if (material !== undefined) {
        this.#openAllWith(material, prekeyIdOf(provider, prekey));
      }
    }
    for (const { bytes, origin } of this.#loot.fields) {
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

  /** @param prekeyId opens those alone that were made for it */
  #openAllWith(material: Uint8Array, prekeyId?: Uint8Array): void {
    const { kem } = this.#configuration;
    const isFor = (sealed: { readonly prekeyId: Uint8Array }) =>
      prekeyId === undefined || sameBytes(sealed.prekeyId, prekeyId);
    for (const record of this.#loot.epochs) {
      for (const envelope of record.envelopes.filter(isFor)) {
        this.#once(`envelope ${keyOf(material)} ${keyOf(envelope.ciphertext)}`, () => {
          this.attempts.envelopes++;
          const secret = openEnvelope(this.#loot.trust, kem, record, envelope, keyShare(material));
          this.#learnOpened(secret === undefined ? [] : [secret]);
        });
      }
    }
    for (const record of this.#loot.welcomes.filter(isFor)) {
      this.#once(`welcome ${keyOf(material)} ${keyOf(record.ciphertext)}`, () => {
        this.attempts.envelopes++;
        this.#learnOpened(openWelcome(this.#loot.trust, kem, record, keyShare(material)) ?? []);
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
    const keyIds = new Set(this.#loot.epochs.map(({ keyId }) => toHex(keyId)));
    for (const salt of this.#epochSecrets.values()) {
      for (const { bytes } of this.#newOf(this.#loot.fields, `next ${keyOf(salt)}`)) {
        this.attempts.epochSecrets++;
        const secret = hkdfExtract(provider, 'sha256', salt, bytes, 'guess');
        if (keyIds.has(toHex(keyIdOf(provider, secret)))) {
          this.#learnSecret(Uint8Array.from(secret.expose()));
        }
      }
    }
  }

  #openTickets(): void {
    const { policies } = this.#configuration;
    for (const [text, secret] of this.#epochSecrets) {
      this.#once(`working keys ${text}`, () => {
        for (const policy of policies) {
          for (const target of Object.keys(workingKeys) as WorkingKeyTarget[]) {
            const key = workingKey(provider, Secret.copy('stolen', secret), { policy, target });
            this.#loot.guesses.push(Uint8Array.from(key.expose().subarray(0, 32)));
          }
        }
      });
    }
    // Against one ticket of each key, then those that open it against all.
    const samples = new Map<string, Uint8Array>();
    for (const ticket of this.#tickets.values()) {
      const group = `${ticket[0]} ${keyNameOf(ticket)}`;
      samples.set(group, samples.get(group) ?? ticket);
    }
    for (const [group, sample] of samples) {
      for (const guess of this.#newOf(this.#loot.guesses, `ticket ${group}`)) {
        this.attempts.ticketKeys++;
        if (openTicketWith(guess, sample, EMPTY) !== undefined) {
          this.#ticketKeys.push(guess);
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
    return [...this.#tickets.values(), ...this.#loot.stored.values()];
  }

  #tryTicket(ticket: Uint8Array, key: Uint8Array): void {
    const hex = toHex(ticket);
    for (const boundTo of this.#loot.stored.has(hex) ? this.#sessionIds.values() : [EMPTY]) {
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
    const guesses = this.#loot.fields.filter(({ origin }) => origin !== 'store');
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

  /** Those that have not been tried on this yet. */
  #newOf<T>(list: readonly T[], what: string): readonly T[] {
    const done = this.#progress.get(what) ?? 0;
    this.#progress.set(what, list.length);
    return list.slice(done);
  }

  #once(what: string, attempt: () => void): void {
    if (!this.#tried.has(what)) {
      this.#tried.add(what);
      attempt();
    }
  }
}
