/**
 * Which of the offered PSKs serves a connection: the session of a ticket, or an external PSK.
 *
 * Identities are tried in the client's order, and the first that fits is taken: one that two entries name is no error. A
 * PSK fits when one of the suites in common has its hash. Only the binder of the chosen identity is verified, and before
 * anything else is made of its PSK (RFC 9846 §4.3.11). The search stops where the host has to be asked, and can go on
 * after a choice that came to nothing.
 */

import type { ResumptionRefusal } from '../actions.ts';
import { concat, utf8 } from '../bytes/bytes.ts';
import type { Secret } from '../bytes/secret.ts';
import type { ServerContext } from '../connection-options.ts';
import type { CryptoProvider } from '../crypto/provider.ts';
import { type CipherSuite, cipherSuites, type HashName } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { pskBinder } from '../keys/finished.ts';
import { EarlySecret, type PskKind } from '../keys/ladder.ts';
import { bindersLength, type PreSharedKeyOffer } from '../messages/client-hello.ts';
import { PSK_DHE_KE, PSK_KE } from '../messages/code-points.ts';
import {
  type ExternalPskName,
  type ExternalPskQuery,
  type FoundPsk,
  foundPsk,
  pskFingerprint,
  type UsablePsk,
} from '../session/external-psk.ts';
import { decodeImportedIdentity } from '../session/psk-importer.ts';
import { checkSession } from '../session/session-check.ts';
import type { SessionState13 } from '../session/session-state.ts';
import { ticketId } from '../session/single-use-register.ts';
import { openTicket } from '../session/ticket.ts';
import type { TicketKey } from '../session/ticket-key.ts';

/**
 * Identities that are tried as tickets. Each costs a ticket key derivation and an AEAD operation before anything is
 * authenticated; clients of one site offer one or two.
 */
const MAX_TRIED_TICKETS = 4;
/**
 * Identities that are looked up among the external PSKs. Each may cost a question to a key store, for a client that is still
 * anybody: one hello of 64 KiB could name thousands.
 */
const MAX_LOOK_UPS = 4;

export type PskMode = 'psk_dhe_ke' | 'psk_ke';

export interface ChosenPsk {
  readonly kind: PskKind;
  /** Of the identity in the client's list. */
  readonly index: number;
  readonly hash: HashName;
  /** The handshake erases it. */
  readonly psk: Secret;
  /** For the tickets of this connection. */
  readonly policyHash: Uint8Array;
  /** Of a ticket; its secret is `psk`. */
  readonly session: SessionState13 | undefined;
  /** The ring's key that opened the ticket. */
  readonly ticketKey: TicketKey | undefined;
  /** The external PSK, or the one that the session began with; its identity on the wire. */
  readonly externalPskIdentity: Uint8Array | undefined;
  readonly externalPsk: ExternalPskName | undefined;
}

export interface PskSearchOptions {
  readonly provider: CryptoProvider;
  readonly context: ServerContext;
  readonly offer: PreSharedKeyOffer;
  /** In common with the client, best first; after a HelloRetryRequest its suite alone. */
  readonly suites: readonly CipherSuite[];
  readonly now: number;
  /** Of a connection that a certificate authenticates. */
  readonly policyHash: Uint8Array;
}

/** What the search has come to: a PSK, a question to the host, or the end of the list. */
export type SearchResult = ChosenPsk | { readonly ask: ExternalPskQuery } | undefined;

export class PskSearch {
  /** Of the last session that was refused. */
  refusal: ResumptionRefusal | undefined;
  readonly #options: PskSearchOptions;
  #next = 0;
  #tickets = 0;
  #lookUps = 0;
  /** What the host was asked for. */
  #pending:
    | { readonly query: ExternalPskQuery; readonly then: (found: FoundPsk | undefined) => SearchResult }
    | undefined;
  #opened: SessionState13 | undefined;

  constructor(options: PskSearchOptions) {
    this.#options = options;
  }

  /** Goes on with the next identity. */
  next(): SearchResult {
    const { identities } = this.#options.offer;
    while (this.#next < identities.length) {
      const result = this.#try(this.#next++);
      if (result !== undefined) {
        return result;
      }
    }
    return undefined;
  }

  /** The host's answer to the question that the search stopped at. */
  answer(found: FoundPsk | undefined): SearchResult {
    const pending = this.#pending;
    this.#pending = undefined;
    return pending?.then(found) ?? this.next();
  }

  /** A PSK that was chosen is not the search's any more. */
  erase(why: string): void {
    this.#opened?.secret.erase(why);
  }

  #try(index: number): SearchResult {
    const { provider, context, offer, now } = this.#options;
    const { identity } = offer.identities[index];
    if (context.tickets === undefined) {
      this.refusal = context.externalPsks === undefined ? 'disabled' : this.refusal;
    } else if (this.#tickets < MAX_TRIED_TICKETS) {
      this.#tickets += 1;
      const opened = openTicket({ provider, keys: context.tickets.keys, ticket: identity, now });
      if (opened.state !== undefined && opened.state.version === 'TLSv1.3') {
        return this.#trySession(index, opened.state, opened.key);
      }
      opened.state?.secret.erase('refused');
      const refusal = opened.refusal ?? 'version_changed';
      const isTicket = refusal !== 'unknown_key' && refusal !== 'bad_ticket';
      if (isTicket || context.externalPsks === undefined) {
        // What is no ticket of ours says less than what was found before.
        this.refusal = isTicket ? refusal : (this.refusal ?? refusal);
        return undefined;
      }
      return this.#tryExternal(index, identity, refusal);
    }
    return this.#tryExternal(index, identity, 'unknown_psk');
  }

  #tryExternal(index: number, identity: Uint8Array, otherwise: ResumptionRefusal): SearchResult {
    const query = { identity, imported: decodeImportedIdentity(identity) };
    return this.#lookUp(query, (found) => {
      const usable = this.#usable(query, found);
      if (usable === undefined) {
        this.refusal ??= otherwise;
        return undefined;
      }
      if (this.#suiteFor(usable.hash) === undefined) {
        usable.psk.erase('refused');
        return undefined;
      }
      const { kind, hash, psk, name } = usable;
      const policyHash = this.#policyHashOf(usable);
      const none = { session: undefined, ticketKey: undefined };
      return { kind, index, hash, psk, policyHash, externalPskIdentity: identity, externalPsk: name, ...none };
    });
  }

  #trySession(index: number, state: SessionState13, key: TicketKey): SearchResult {
    const { externalPskIdentity: identity } = state;
    this.#opened = state;
    if (identity === undefined || identity.length === 0) {
      return this.#checkSession(index, state, key, undefined);
    }
    // What began with an external PSK ends with it: with its being taken away, or changed.
    const query = { identity, imported: decodeImportedIdentity(identity) };
    return this.#lookUp(query, (found) => {
      const usable = this.#usable(query, found);
      if (usable === undefined) {
        return this.#refuse(state, 'unknown_psk');
      }
      try {
        return this.#checkSession(index, state, key, usable);
      } finally {
        usable.psk.erase();
      }
    });
  }

  #checkSession(
    index: number,
    state: SessionState13,
    ticketKey: TicketKey,
    usable: UsablePsk | undefined,
  ): ChosenPsk | undefined {
    const { context, now, suites } = this.#options;
    const { hash } = cipherSuites[state.cipherSuite];
    const policyHash = this.#policyHashOf(usable);
    const refused = checkSession({
      state,
      now,
      handshakeValidity: context.tickets?.handshakeValidity ?? 0,
      policyHash,
      cipherSuite: (this.#suiteFor(hash) ?? suites[0]).name,
    });
    if (refused !== undefined) {
      return this.#refuse(state, refused);
    }
    if (context.clientAuthentication?.resumable?.(state.peerCertificates ?? []) === false) {
      return this.#refuse(state, 'client_untrusted');
    }
    this.#opened = undefined;
    return {
      kind: 'resumption',
      index,
      hash,
      psk: state.secret,
      policyHash,
      session: state,
      ticketKey,
      externalPskIdentity: usable?.wireIdentity,
      externalPsk: usable?.name,
    };
  }

  #refuse(state: SessionState13, refusal: ResumptionRefusal): undefined {
    state.secret.erase('refused');
    this.#opened = undefined;
    this.refusal = refusal;
  }

  #lookUp(query: ExternalPskQuery, then: (found: FoundPsk | undefined) => SearchResult): SearchResult {
    const source = this.#options.context.externalPsks;
    if (source === undefined || this.#lookUps === MAX_LOOK_UPS) {
      return then(undefined);
    }
    this.#lookUps += 1;
    if (source !== 'ask') {
      return then(source(query));
    }
    this.#pending = { query, then };
    return { ask: query };
  }

  #usable(query: ExternalPskQuery, found: FoundPsk | undefined): UsablePsk | undefined {
    return found === undefined ? undefined : foundPsk(this.#options.provider, query, found);
  }

  #suiteFor(hash: HashName): CipherSuite | undefined {
    return this.#options.suites.find((suite) => suite.hash === hash);
  }

  /**
   * Sessions that began with an external PSK are another policy than those that began with a certificate: no session leads
   * from one to the other, nor from one PSK to the next under the same name.
   */
  #policyHashOf(usable: UsablePsk | undefined): Uint8Array {
    const { provider, policyHash } = this.#options;
    if (usable === undefined) {
      return policyHash;
    }
    return provider.hash('sha256', concat(EXTERNAL_PSK, policyHash, pskFingerprint(provider, usable)));
  }
}

/**
 * The mode to use a PSK in, or undefined when the client offers none that is allowed (RFC 9846 §4.3.9). Where a
 * HelloRetryRequest has asked for a share, that share is used.
 */
export function choosePskMode(
  { dangerouslyAllowPskKe }: ServerContext,
  modes: readonly number[],
  helloRetried = false,
): PskMode | undefined {
  const withExchange = modes.includes(PSK_DHE_KE);
  if (helloRetried) {
    return withExchange ? 'psk_dhe_ke' : undefined;
  }
  if (dangerouslyAllowPskKe !== undefined && modes.includes(PSK_KE)) {
    return withExchange && dangerouslyAllowPskKe !== 'prefer' ? 'psk_dhe_ke' : 'psk_ke';
  }
  return withExchange ? 'psk_dhe_ke' : undefined;
}

/**
 * Checks the chosen identity's binder over the truncated ClientHello and returns the rung made from its PSK, which is
 * spent. `truncatedHash` hashes what goes before the binders, with the messages of a HelloRetryRequest where there was one.
 * @throws TLSError `TLS_ERR_BAD_BINDER`
 */
export function verifyBinder(options: {
  readonly provider: CryptoProvider;
  readonly chosen: Pick<ChosenPsk, 'kind' | 'hash' | 'psk'>;
  readonly binder: Uint8Array;
  readonly truncatedHash: Uint8Array;
}): EarlySecret {
  const { provider, chosen, binder, truncatedHash } = options;
  const { kind, hash, psk } = chosen;
  const early = EarlySecret.create(provider, hash, psk);
  psk.erase();
  const expected = pskBinder(provider, hash, early.binderKey(kind), truncatedHash);
  if (!provider.equal(binder, expected)) {
    early.erase('refused');
    throw new TLSError('TLS_ERR_BAD_BINDER', "the client's PSK binder does not verify");
  }
  return early;
}

/** Where the binders of an encoded ClientHello begin. */
export function bindersOffset(raw: Uint8Array, offer: PreSharedKeyOffer): number {
  return raw.length - bindersLength(offer.binders);
}

/**
 * What a ticket is claimed by, where it resumes once. The time is the ticket's own end, not that of its key, which may be
 * brought forward: a claim must be found where it was entered.
 */
export function ticketClaim(
  provider: CryptoProvider,
  chosen: ChosenPsk,
  ticket: Uint8Array,
): { readonly ticketId: Uint8Array; readonly expiresAt: number } | undefined {
  const { session, ticketKey } = chosen;
  return session === undefined || ticketKey === undefined
    ? undefined
    : {
        ticketId: ticketId(provider, ticketKey, ticket),
        expiresAt: session.issuedAt + session.ticketLifetime * 1000,
      };
}

const EXTERNAL_PSK = utf8('mayfly external psk');
