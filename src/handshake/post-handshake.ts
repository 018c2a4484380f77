/**
 * The messages after the handshake: KeyUpdate both ways, and the client's new tickets. RFC 9846 §4.7.
 */

import { TLSError } from '../errors.ts';
import { trafficSecretLine } from '../keys/key-log.ts';
import type { TrafficSecret } from '../keys/traffic.ts';
import { decodeKeyUpdate, encodeKeyUpdate } from '../messages/key-update.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import type { Established, RecordHost } from './host.ts';
import type { KeyWear } from './key-wear.ts';
import type { CertificatePolicy, ClientAuthenticator, MakeRoom, ServerAuthenticator } from './post-handshake-auth.ts';
import type { ReceivedTickets } from './received-tickets.ts';
import type { connectedClientTransitions, connectedServerTransitions, Handlers } from './transitions.ts';

/**
 * KeyUpdates that nobody asked for, with no application data either way between them: each costs us three HMACs and a key
 * set-up, and moves nothing.
 */
const MAX_KEY_UPDATES_IN_A_ROW = 32;

export interface PostHandshakeParts {
  readonly tickets?: ReceivedTickets;
  readonly clientAuthenticator?: ClientAuthenticator;
  readonly serverAuthenticator?: ServerAuthenticator;
  /** When the key log was asked for. */
  readonly clientRandom?: Uint8Array;
  /** When keys are renewed before their usage limit. */
  readonly wear?: { readonly read: KeyWear; readonly write: KeyWear; readonly now: () => number };
}

export class PostHandshake implements Established {
  readonly host: RecordHost;
  readonly tickets: ReceivedTickets | undefined;
  /** At a client that offered to authenticate itself later. */
  readonly clientAuthenticator: ClientAuthenticator | undefined;
  /** At a server whose client offered it. */
  readonly serverAuthenticator: ServerAuthenticator | undefined;
  /** Present when the key log was asked for. */
  readonly #clientRandom: Uint8Array | undefined;
  readonly #wear: PostHandshakeParts['wear'];
  #keyUpdatesInARow = 0;
  #answerDue = false;
  #requestOutstanding = false;

  constructor(host: RecordHost, parts: PostHandshakeParts) {
    this.host = host;
    this.tickets = parts.tickets;
    this.clientAuthenticator = parts.clientAuthenticator;
    this.serverAuthenticator = parts.serverAuthenticator;
    this.#clientRandom = parts.clientRandom;
    this.#wear = parts.wear;
  }

  noteReceivedData(bytes: number): void {
    this.#keyUpdatesInARow = 0;
    this.#wear?.read.note(bytes);
    this.tickets?.noteData();
  }

  /** A peer that only receives has reason to renew its keys, and to ask us to, as we go on sending. */
  noteSentData(bytes: number): void {
    this.#keyUpdatesInARow = 0;
    this.#wear?.write.note(bytes);
    this.clientAuthenticator?.noteSentData();
  }

  /** Authentication that was not offered, or not asked for: known by the message's first byte, as that is all it takes. */
  refuses(event: string): boolean {
    if (event === 'certificate_request') {
      return this.clientAuthenticator === undefined;
    }
    if (event === 'compressed_certificate' && this.serverAuthenticator?.takesCompressed !== true) {
      return true;
    }
    const isCertificate = event === 'certificate' || event === 'compressed_certificate';
    return isCertificate && this.serverAuthenticator?.asked !== true;
  }

  requestCertificate(policy: CertificatePolicy): void {
    offered(this.serverAuthenticator).request(policy, this.makeRoom);
  }

  onKeyUpdate(message: JoinedMessage): void {
    const { updateRequested } = decodeKeyUpdate(message.body);
    this.#keyUpdatesInARow += this.#requestOutstanding ? 0 : 1;
    if (this.#keyUpdatesInARow > MAX_KEY_UPDATES_IN_A_ROW) {
      throw new TLSError(
        'TLS_ERR_TOO_MANY_KEY_UPDATES',
        `the peer sent more than ${MAX_KEY_UPDATES_IN_A_ROW} KeyUpdates in a row`,
      );
    }
    const { channel } = this.host;
    const secret = channel.updateRead(channel.joiner.boundary());
    this.#wear?.read.renewed();
    this.#log(secret);
    this.host.emit({ kind: 'keyUpdate', direction: 'read', generation: secret.generation });
    this.#requestOutstanding = false;
    if (updateRequested) {
      this.#answerDue = true;
    }
  }

  /**
   * Answers a request, once for however many came together, renews a worn write key, and asks for a new read key when ours
   * is worn. Called when everything received was read.
   */
  answer(): void {
    const wear = this.#wear;
    const now = wear?.now();
    const readWorn = this.host.channel.readKeyWorn || wear?.read.worn(now) === true;
    const ask = readWorn && !this.#requestOutstanding;
    if (this.#answerDue || ask || wear?.write.worn(now) === true) {
      this.update(ask);
    }
  }

  /** Renews our write keys; asks the peer to renew its own unless a request is under way already. */
  update(requestPeer: boolean): void {
    const { channel } = this.host;
    const updateRequested = requestPeer && !this.#requestOutstanding;
    this.#requestOutstanding ||= updateRequested;
    this.#answerDue = false;
    channel.handshake(encodeKeyUpdate({ updateRequested }));
    const secret = channel.updateWrite();
    this.#wear?.write.renewed();
    this.#log(secret);
    this.host.emit({ kind: 'keyUpdate', direction: 'write', generation: secret.generation });
  }

  /** Records that may be written before the write key has to be renewed. */
  get writable(): number {
    return this.host.channel.writable;
  }

  /** Renews our write keys when these are too worn for so many bytes of messages, which have to go out in one piece. */
  readonly makeRoom: MakeRoom = (length) => {
    const { channel } = this.host;
    if (channel.writable <= Math.ceil(length / channel.maxFragment)) {
      this.update(false);
    }
  };

  erase(why: string): void {
    this.tickets?.erase(why);
  }

  #log(secret: TrafficSecret): void {
    if (this.#clientRandom !== undefined) {
      this.host.emit({ kind: 'keyLog', line: trafficSecretLine(secret, this.#clientRandom) });
    }
  }
}

export const connectedClientHandlers: Handlers<typeof connectedClientTransitions, PostHandshake> = {
  Connected: {
    new_session_ticket: onNewSessionTicket,
    key_update: onKeyUpdate,
    certificate_request: onCertificateRequest,
  },
  AwaitAuthenticationSignature: {
    sign: (connected, signature) => offered(connected.clientAuthenticator).onSignature(signature, connected.makeRoom),
  },
};

export const connectedServerHandlers: Handlers<typeof connectedServerTransitions, PostHandshake> = {
  Connected: {
    key_update: onKeyUpdate,
    certificate: (connected, message) => offered(connected.serverAuthenticator).onCertificate(message),
    compressed_certificate: (connected, message) =>
      offered(connected.serverAuthenticator).onCompressedCertificate(message),
  },
  AwaitAuthenticationVerdict: {
    verifyCertificate: (connected, verdict) => offered(connected.serverAuthenticator).onVerdict(verdict),
  },
  ExpectAuthenticationCertificateVerify: {
    certificate_verify: (connected, message) => offered(connected.serverAuthenticator).onCertificateVerify(message),
  },
  ExpectAuthenticationFinished: {
    finished: (connected, message) => offered(connected.serverAuthenticator).onFinished(message),
  },
};

function onCertificateRequest(
  connected: PostHandshake,
  message: JoinedMessage,
): 'Connected' | 'AwaitAuthenticationSignature' {
  return offered(connected.clientAuthenticator).onCertificateRequest(message, connected.makeRoom);
}

/** Without post_handshake_auth in the ClientHello nothing of this may come (RFC 9846 §4.7.2). */
function offered<T>(authenticator: T | undefined): T {
  if (authenticator === undefined) {
    throw new TLSError('TLS_ERR_UNEXPECTED_MESSAGE', 'authentication after the handshake was not offered');
  }
  return authenticator;
}

function onNewSessionTicket(connected: PostHandshake, message: JoinedMessage): 'Connected' {
  const session = connected.tickets?.read(message.body);
  if (session !== undefined) {
    connected.host.emit({ kind: 'session', session });
  }
  return 'Connected';
}

function onKeyUpdate(connected: PostHandshake, message: JoinedMessage): 'Connected' {
  connected.onKeyUpdate(message);
  return 'Connected';
}
