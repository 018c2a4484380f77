/** What anybody who recorded a connection can read of it without a key: hellos, tickets, and where the sealed records lie. */

import { concat, toHex } from '../../src/bytes/bytes.ts';
import { Reader } from '../../src/bytes/reader.ts';
import { type ClientHello, decodeClientHello } from '../../src/messages/client-hello.ts';
import { TLS13 } from '../../src/messages/code-points.ts';
import { decodeServerHello, type ServerHello } from '../../src/messages/server-hello.ts';
import { decodeNewSessionTicket12 } from '../../src/messages/tls12/new-session-ticket.ts';
import type { Recording } from './wiretap.ts';

export interface WireRecord {
  readonly type: number;
  /** The five bytes before the fragment. */
  readonly header: Uint8Array;
  readonly fragment: Uint8Array;
}

export interface Conversation {
  readonly version: 'TLSv1.2' | 'TLSv1.3';
  readonly clientHello: ClientHello;
  readonly serverHello: ServerHello;
  /** The two messages with their headers, for transcripts. */
  readonly rawClientHello: Uint8Array;
  readonly rawServerHello: Uint8Array;
  /** Each ticket that was sent in clear, in either direction. */
  readonly tickets: readonly Uint8Array[];
  /** After the change to keys, from each end. */
  readonly sealed: { readonly client: readonly WireRecord[]; readonly server: readonly WireRecord[] };
}

export function readConversation({ fromClient, fromServer }: Recording): Conversation {
  const client = split(fromClient);
  const server = split(fromServer);
  const [rawClientHello] = client.messages;
  const [rawServerHello] = server.messages;
  const clientHello = decodeClientHello(rawClientHello.subarray(HEADER_LENGTH));
  const serverHello = decodeServerHello(rawServerHello.subarray(HEADER_LENGTH));
  const version = serverHello.extensions.supportedVersion === TLS13 ? 'TLSv1.3' : 'TLSv1.2';
  const { preSharedKey, sessionTicket } = clientHello.extensions;
  const offered = [...(preSharedKey?.identities.map(({ identity }) => identity) ?? []), sessionTicket ?? EMPTY];
  const given = server.messages
    .filter(([type]) => type === NEW_SESSION_TICKET && version === 'TLSv1.2')
    .map((message) => decodeNewSessionTicket12(message.subarray(HEADER_LENGTH)).ticket);
  return {
    version,
    clientHello,
    serverHello,
    rawClientHello,
    rawServerHello,
    tickets: [...offered, ...given].filter(({ length }) => length > 0),
    sealed: { client: client.sealed, server: server.sealed },
  };
}

/** The name of the key that sealed it, hex: it stands at the head of every ticket, in clear. */
export function keyNameOf(ticket: Uint8Array): string {
  return toHex(ticket.subarray(1, 17));
}

/** Complete handshake messages at the head of these bytes. */
export function messagesIn(bytes: Uint8Array): readonly Uint8Array[] {
  const messages: Uint8Array[] = [];
  for (let at = 0; at + HEADER_LENGTH <= bytes.length; ) {
    const length = (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    messages.push(bytes.subarray(at, at + HEADER_LENGTH + length));
    at += HEADER_LENGTH + length;
  }
  return messages;
}

/** Messages in clear, and the records after the first ChangeCipherSpec; of TLS 1.3, all that look like application data. */
function split(bytes: Uint8Array): { messages: readonly Uint8Array[]; sealed: readonly WireRecord[] } {
  const reader = new Reader(bytes, 'recording');
  const clear: Uint8Array[] = [];
  const sealed: WireRecord[] = [];
  let changed = false;
  while (reader.remaining > 0) {
    const start = reader.offset;
    const type = reader.u8('type');
    reader.u16('version');
    const fragment = reader.vector16('fragment');
    if (type === CHANGE_CIPHER_SPEC) {
      changed = true;
    } else if (changed || type === APPLICATION_DATA) {
      sealed.push({ type, header: bytes.subarray(start, start + 5), fragment });
    } else if (type === HANDSHAKE) {
      clear.push(fragment);
    }
  }
  return { messages: messagesIn(concat(...clear)), sealed };
}

const EMPTY = new Uint8Array(0);
const HEADER_LENGTH = 4;
const CHANGE_CIPHER_SPEC = 20;
const HANDSHAKE = 22;
const APPLICATION_DATA = 23;
const NEW_SESSION_TICKET = 4;
