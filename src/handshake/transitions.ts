/**
 * Which message, or which answer of the host, is legal in which state, and where it may lead. Declared once: the
 * compiler checks the handlers against it, the runner refuses everything else, and docs/state-machine.md is made from it.
 *
 * States are named by what they wait for; those of TLS 1.2 end in 12. RFC 9846 Appendix A.
 */

import type { Answers } from '../actions.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';

export const clientTransitions = {
  Start: { start: ['ExpectServerHello'] },
  ExpectServerHello: {
    server_hello: [
      'ExpectEncryptedExtensions',
      'ExpectServerHelloAfterRetry',
      'ExpectServerCertificate12',
      'ExpectTicket12',
      'ExpectChangeCipherSpec12',
    ],
  },
  ExpectServerHelloAfterRetry: { server_hello: ['ExpectEncryptedExtensions'] },
  ExpectEncryptedExtensions: { encrypted_extensions: ['ExpectCertificateOrCertificateRequest', 'ExpectFinished'] },
  ExpectCertificateOrCertificateRequest: {
    certificate_request: ['ExpectCertificate'],
    certificate: ['AwaitCertificateVerdict'],
    compressed_certificate: ['AwaitCertificateVerdict'],
  },
  ExpectCertificate: {
    certificate: ['AwaitCertificateVerdict'],
    compressed_certificate: ['AwaitCertificateVerdict'],
  },
  AwaitCertificateVerdict: { verifyCertificate: ['ExpectCertificateVerify'] },
  ExpectCertificateVerify: { certificate_verify: ['ExpectFinished'] },
  ExpectFinished: { finished: ['Connected', 'AwaitClientSignature'] },
  AwaitClientSignature: { sign: ['Connected'] },
  ExpectServerCertificate12: {
    certificate: ['AwaitCertificateVerdict12', 'ExpectCertificateStatusOrServerKeyExchange12'],
  },
  ExpectCertificateStatusOrServerKeyExchange12: {
    certificate_status: ['AwaitCertificateVerdict12'],
    server_key_exchange: ['AwaitCertificateVerdict12'],
  },
  AwaitCertificateVerdict12: {
    verifyCertificate: ['ExpectServerKeyExchange12', 'ExpectCertificateRequestOrServerHelloDone12'],
  },
  ExpectServerKeyExchange12: { server_key_exchange: ['ExpectCertificateRequestOrServerHelloDone12'] },
  ExpectCertificateRequestOrServerHelloDone12: {
    certificate_request: ['ExpectServerHelloDone12'],
    server_hello_done: ['AwaitClientSignature12', 'ExpectTicket12', 'ExpectChangeCipherSpec12'],
  },
  ExpectServerHelloDone12: {
    server_hello_done: ['AwaitClientSignature12', 'ExpectTicket12', 'ExpectChangeCipherSpec12'],
  },
  AwaitClientSignature12: { sign: ['ExpectTicket12', 'ExpectChangeCipherSpec12'] },
  ExpectTicket12: { new_session_ticket: ['ExpectChangeCipherSpec12'] },
  ExpectChangeCipherSpec12: { change_cipher_spec: ['ExpectFinished12'] },
  ExpectFinished12: { finished: ['Connected'] },
} as const;

/** After the handshake; its own table, because nothing of the handshake's state is kept. */
export const connectedClientTransitions = {
  Connected: {
    new_session_ticket: ['Connected'],
    key_update: ['Connected'],
    certificate_request: ['Connected', 'AwaitAuthenticationSignature'],
  },
  AwaitAuthenticationSignature: { sign: ['Connected'] },
} as const;

export const serverTransitions = {
  ExpectClientHello: {
    client_hello: [
      'AwaitContext',
      'AwaitExternalPsk',
      'AwaitTicketClaim',
      'ExpectClientHelloAfterRetry',
      'AwaitCertificateStatus',
      'AwaitSignature',
      'ExpectEndOfEarlyData',
      'ExpectFinished',
      'ExpectClientCertificate',
      'AwaitCertificateStatus12',
      'AwaitSignature12',
      'ExpectClientKeyExchange12',
      'ExpectClientCertificate12',
      'ExpectChangeCipherSpec12',
    ],
  },
  AwaitContext: {
    context: [
      'AwaitExternalPsk',
      'AwaitTicketClaim',
      'ExpectClientHelloAfterRetry',
      'AwaitCertificateStatus',
      'AwaitSignature',
      'ExpectEndOfEarlyData',
      'ExpectFinished',
      'ExpectClientCertificate',
      'AwaitCertificateStatus12',
      'AwaitSignature12',
      'ExpectClientKeyExchange12',
      'ExpectClientCertificate12',
      'ExpectChangeCipherSpec12',
    ],
  },
  AwaitExternalPsk: {
    externalPsk: [
      'AwaitExternalPsk',
      'AwaitTicketClaim',
      'ExpectClientHelloAfterRetry',
      'AwaitCertificateStatus',
      'AwaitSignature',
      'ExpectEndOfEarlyData',
      'ExpectFinished',
      'ExpectClientCertificate',
    ],
  },
  AwaitTicketClaim: {
    claimTicket: [
      'AwaitExternalPsk',
      'AwaitTicketClaim',
      'ExpectClientHelloAfterRetry',
      'AwaitCertificateStatus',
      'AwaitSignature',
      'ExpectEndOfEarlyData',
      'ExpectFinished',
      'ExpectClientCertificate',
    ],
  },
  ExpectClientHelloAfterRetry: {
    client_hello: [
      'AwaitExternalPsk',
      'AwaitTicketClaim',
      'AwaitCertificateStatus',
      'AwaitSignature',
      'ExpectFinished',
      'ExpectClientCertificate',
    ],
  },
  ExpectEndOfEarlyData: { end_of_early_data: ['ExpectFinished'] },
  AwaitCertificateStatus: { certificateStatus: ['AwaitSignature', 'ExpectFinished', 'ExpectClientCertificate'] },
  AwaitSignature: { sign: ['ExpectFinished', 'ExpectClientCertificate'] },
  ExpectClientCertificate: {
    certificate: ['AwaitClientVerdict', 'ExpectFinished'],
    compressed_certificate: ['AwaitClientVerdict', 'ExpectFinished'],
  },
  AwaitClientVerdict: { verifyCertificate: ['ExpectClientCertificateVerify'] },
  ExpectClientCertificateVerify: { certificate_verify: ['ExpectFinished'] },
  ExpectFinished: { finished: ['Connected'] },
  AwaitCertificateStatus12: {
    certificateStatus: ['AwaitSignature12', 'ExpectClientKeyExchange12', 'ExpectClientCertificate12'],
  },
  AwaitSignature12: { sign: ['ExpectClientKeyExchange12', 'ExpectClientCertificate12'] },
  ExpectClientCertificate12: { certificate: ['AwaitClientVerdict12', 'ExpectClientKeyExchange12'] },
  AwaitClientVerdict12: { verifyCertificate: ['ExpectClientKeyExchange12'] },
  ExpectClientKeyExchange12: { client_key_exchange: ['ExpectClientCertificateVerify12', 'ExpectChangeCipherSpec12'] },
  ExpectClientCertificateVerify12: { certificate_verify: ['ExpectChangeCipherSpec12'] },
  ExpectChangeCipherSpec12: { change_cipher_spec: ['ExpectFinished12'] },
  ExpectFinished12: { finished: ['Connected'] },
} as const;

export const connectedClientTransitions12 = {
  Connected: { hello_request: ['Connected'] },
} as const;

export const connectedServerTransitions12 = {
  Connected: { client_hello: ['Connected'] },
} as const;

export const connectedServerTransitions = {
  Connected: {
    key_update: ['Connected'],
    certificate: ['AwaitAuthenticationVerdict', 'ExpectAuthenticationFinished'],
    compressed_certificate: ['AwaitAuthenticationVerdict', 'ExpectAuthenticationFinished'],
  },
  AwaitAuthenticationVerdict: { verifyCertificate: ['ExpectAuthenticationCertificateVerify'] },
  ExpectAuthenticationCertificateVerify: { certificate_verify: ['ExpectAuthenticationFinished'] },
  ExpectAuthenticationFinished: { finished: ['Connected'] },
} as const;

/** Over QUIC there is neither KeyUpdate nor authentication after the handshake (RFC 9001 §6, §4.4). */
export const connectedClientTransitionsQuic = {
  Connected: { new_session_ticket: ['Connected'] },
} as const;

export const connectedServerTransitionsQuic = {
  Connected: {},
} as const;

export type ClientState = keyof typeof clientTransitions | keyof typeof connectedClientTransitions;
export type ServerState = keyof typeof serverTransitions | keyof typeof connectedServerTransitions;

/** What comes with an event: a message, the host's answer, or nothing. */
export type EventPayload<E> = E extends keyof Answers
  ? Answers[E]
  : E extends 'start' | 'change_cipher_spec'
    ? undefined
    : JoinedMessage;

export type Table = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;

/** One handler per declared transition; it can only return a declared next state. */
export type Handlers<T extends Table, C> = {
  readonly [S in keyof T]: {
    readonly [E in keyof T[S]]: (context: C, payload: EventPayload<E>) => T[S][E][number];
  };
};
