/**
 * The one error type of the house, and the table of every stable code with who is to blame, the alert the peer is
 * sent, and where the rule stands.
 */

import type { AlertDescription } from './alerts.ts';

/** Who has to change something for the error to go away. */
export type Blame = 'peer' | 'local' | 'config' | 'caller';

interface ErrorEntry {
  readonly blame: Blame;
  /** Sent to the peer before the connection ends; absent where nothing can or should be sent. */
  readonly alert?: AlertDescription;
  /** The rule that was broken. */
  readonly section: string;
  readonly summary: string;
}

export const errorTable = {
  // Record layer
  TLS_ERR_BAD_RECORD_MAC: entry('peer', 'bad_record_mac', 'RFC 9846 §5.2', 'a protected record failed authentication'),
  TLS_ERR_RECORD_OVERFLOW: entry('peer', 'record_overflow', 'RFC 9846 §5.1', 'a record is longer than allowed'),
  TLS_ERR_RECORD_TYPE: entry(
    'peer',
    'unexpected_message',
    'RFC 9846 §5',
    'a record has an unknown or misplaced content type',
  ),
  TLS_ERR_NOT_TLS: entry('peer', undefined, 'RFC 9846 §5.1', 'the first bytes are not a TLS record'),
  TLS_ERR_RECORD_BOUNDARY: entry(
    'peer',
    'unexpected_message',
    'RFC 9846 §5.1',
    'a key change does not fall on a record boundary',
  ),
  TLS_ERR_EMPTY_RECORDS: entry('peer', 'unexpected_message', 'RFC 9846 §5.4', 'too many records that carry nothing'),
  TLS_ERR_USAGE_LIMIT: entry('local', 'close_notify', 'RFC 9846 §5.5', 'a traffic key reached its usage limit'),
  TLS_ERR_PEER_USAGE_LIMIT: entry(
    'peer',
    'unexpected_message',
    'RFC 9846 §5.5',
    'the peer overran the usage limit of its key',
  ),

  // Messages
  TLS_ERR_DECODE: entry('peer', 'decode_error', 'RFC 9846 §6.2', 'a message cannot be parsed'),
  TLS_ERR_MESSAGE_TOO_LONG: entry('peer', 'decode_error', 'RFC 9846 §4', 'a handshake message is longer than its cap'),
  TLS_ERR_UNEXPECTED_MESSAGE: entry(
    'peer',
    'unexpected_message',
    'RFC 9846 §4',
    'a message arrived that is not legal in this state',
  ),
  TLS_ERR_ILLEGAL_PARAMETER: entry(
    'peer',
    'illegal_parameter',
    'RFC 9846 §6.2',
    'a field has a value that is not allowed',
  ),
  TLS_ERR_DUPLICATE_EXTENSION: entry('peer', 'illegal_parameter', 'RFC 9846 §4.3', 'an extension appears twice'),
  TLS_ERR_MISPLACED_EXTENSION: entry(
    'peer',
    'illegal_parameter',
    'RFC 9846 §4.3',
    'an extension appears in a message that must not carry it',
  ),
  TLS_ERR_UNSUPPORTED_EXTENSION: entry(
    'peer',
    'unsupported_extension',
    'RFC 9846 §4.3',
    'an extension answers nothing that was offered',
  ),
  TLS_ERR_MISSING_EXTENSION: entry('peer', 'missing_extension', 'RFC 9846 §9.2', 'a mandatory extension is missing'),

  // Negotiation
  TLS_ERR_PROTOCOL_VERSION: entry('peer', 'protocol_version', 'RFC 9846 §4.3.1', 'no common protocol version'),
  TLS_ERR_DOWNGRADE: entry(
    'peer',
    'illegal_parameter',
    'RFC 9846 §4.2.3',
    'the server random carries a downgrade sentinel',
  ),
  TLS_ERR_INAPPROPRIATE_FALLBACK: entry(
    'peer',
    'inappropriate_fallback',
    'RFC 7507 §3',
    'the client fell back below what both support',
  ),
  TLS_ERR_NO_COMMON_SUITE: entry('peer', 'handshake_failure', 'RFC 9846 §4.2.3', 'no common cipher suite'),
  TLS_ERR_NO_COMMON_GROUP: entry('peer', 'handshake_failure', 'RFC 9846 §4.3.7', 'no common key exchange group'),
  TLS_ERR_NO_COMMON_SIGNATURE_SCHEME: entry(
    'peer',
    'handshake_failure',
    'RFC 9846 §4.3.3',
    'no signature scheme that both sides and the key allow',
  ),
  TLS_ERR_NO_APPLICATION_PROTOCOL: entry(
    'peer',
    'no_application_protocol',
    'RFC 7301 §3.2',
    'no common application protocol',
  ),
  TLS_ERR_UNRECOGNIZED_NAME: entry(
    'peer',
    'unrecognized_name',
    'RFC 6066 §3',
    'no certificate for the requested server name',
  ),
  TLS_ERR_BAD_KEY_SHARE: entry(
    'peer',
    'illegal_parameter',
    'RFC 9846 §4.3.8',
    'a key share is malformed, off the curve or of small order',
  ),

  TLS_ERR_INSECURE_RENEGOTIATION: entry(
    'peer',
    'handshake_failure',
    'RFC 5746 §4',
    'the peer does not bind renegotiations to the connection, or binds one to another',
  ),
  TLS_ERR_EXTENDED_MASTER_SECRET: entry(
    'peer',
    'handshake_failure',
    'RFC 7627 §5',
    'extended master secret is missing where it is required',
  ),

  // QUIC
  TLS_ERR_QUIC_PROTOCOL: entry(
    'peer',
    undefined,
    'RFC 9001 §4.1.3',
    'the peer breaks a rule of QUIC on how TLS is used: PROTOCOL_VIOLATION',
  ),
  TLS_ERR_QUIC_CRYPTO_BUFFER: entry(
    'peer',
    undefined,
    'RFC 9000 §7.5',
    'more handshake bytes came over QUIC than are buffered: CRYPTO_BUFFER_EXCEEDED',
  ),

  // Authentication
  TLS_ERR_BAD_FINISHED: entry('peer', 'decrypt_error', 'RFC 9846 §4.5.3', 'the Finished message does not verify'),
  TLS_ERR_BAD_BINDER: entry('peer', 'decrypt_error', 'RFC 9846 §4.3.11', 'a PSK binder does not verify'),
  TLS_ERR_UNKNOWN_PSK: entry(
    'peer',
    'unknown_psk_identity',
    'RFC 9846 §6.2',
    'the client offers no PSK that the server knows, and the server has no certificate',
  ),
  TLS_ERR_ECH_REJECTED: entry(
    'peer',
    'ech_required',
    'RFC 9849 §6.1.6',
    'the server did not decrypt the ClientHello that was meant for it',
  ),
  TLS_ERR_PSK_REQUIRED: entry(
    'peer',
    'handshake_failure',
    'RFC 9846 §4.3.11',
    'the server chose no external PSK where the client requires one',
  ),
  TLS_ERR_BAD_SIGNATURE: entry(
    'peer',
    'decrypt_error',
    'RFC 9846 §4.5.2',
    'the CertificateVerify signature does not verify',
  ),
  TLS_ERR_BAD_CERTIFICATE: entry(
    'peer',
    'bad_certificate',
    'RFC 5280 §6',
    'the certificate chain is malformed or breaks a rule',
  ),
  TLS_ERR_UNSUPPORTED_CERTIFICATE: entry(
    'peer',
    'unsupported_certificate',
    'RFC 9846 §6.2',
    'the certificate is of an unsupported type',
  ),
  TLS_ERR_CERTIFICATE_EXPIRED: entry(
    'peer',
    'certificate_expired',
    'RFC 5280 §4.1.2.5',
    'a certificate is expired or not yet valid',
  ),
  TLS_ERR_DECOMPRESSION: entry(
    'peer',
    'bad_certificate',
    'RFC 8879 §4',
    'a compressed certificate does not unfold to what it says',
  ),
  TLS_ERR_BAD_STATUS: entry(
    'peer',
    'bad_certificate_status_response',
    'RFC 6066 §8',
    'a stapled OCSP response is missing, cannot be trusted or says nothing of the certificate',
  ),
  TLS_ERR_CERTIFICATE_REVOKED: entry('peer', 'certificate_revoked', 'RFC 5280 §6.3', 'a certificate was revoked'),
  TLS_ERR_UNKNOWN_CA: entry(
    'peer',
    'unknown_ca',
    'RFC 5280 §6',
    'no path leads from the certificate to a trusted root',
  ),
  TLS_ERR_CERTIFICATE_NAME: entry(
    'peer',
    'bad_certificate',
    'RFC 9525 §6',
    'the certificate is not for the expected name',
  ),
  TLS_ERR_NO_CERTIFICATE: entry('peer', 'decode_error', 'RFC 9846 §4.5.1.1', 'the server sent no certificate'),

  TLS_ERR_CERTIFICATE_REQUIRED: entry(
    'peer',
    'certificate_required',
    'RFC 9846 §4.5.1.3',
    'the client has no certificate where one is required',
  ),

  // Life of the connection
  TLS_ERR_ALERT_RECEIVED: entry('peer', undefined, 'RFC 9846 §6', 'the peer ended the connection with an alert'),
  TLS_ERR_TRUNCATED: entry(
    'peer',
    undefined,
    'RFC 9846 §6.1',
    'the transport ended without close_notify; of a socket, in its first handshake, the `cause` of an ECONNRESET',
  ),
  TLS_ERR_TOO_MUCH_EARLY_DATA: entry(
    'peer',
    'unexpected_message',
    'RFC 9846 §4.7.1',
    'the client sent more early data than its ticket allows',
  ),
  TLS_ERR_TOO_MANY_KEY_UPDATES: entry('peer', 'unexpected_message', 'RFC 9846 §4.7.3', 'the peer floods KeyUpdate'),
  TLS_ERR_TOO_MANY_CERTIFICATE_REQUESTS: entry(
    'peer',
    'unexpected_message',
    'RFC 9846 §4.7.2',
    'the server floods CertificateRequest',
  ),
  TLS_ERR_TOO_MANY_TICKETS: entry('peer', 'unexpected_message', 'RFC 9846 §4.7.1', 'the peer floods NewSessionTicket'),
  TLS_ERR_HANDSHAKE_TIMEOUT: entry('peer', 'user_canceled', 'RFC 9846 §6.1', 'the handshake took too long'),
  TLS_ERR_INTERNAL: entry('local', 'internal_error', 'RFC 9846 §6.2', 'an internal invariant does not hold'),

  // Session store and tickets
  TLS_ERR_SESSION_STATE: entry('caller', undefined, 'docs/architecture.md', 'session bytes cannot be decoded'),
  TLS_ERR_STORE: entry('local', undefined, 'docs/ring.md', 'a store of the fleet failed or did not answer in time'),
  TLS_ERR_SERVER_NOT_TOLD: entry('local', undefined, 'docs/agent.md', 'another server did not take its ticket keys'),

  // Caller and configuration
  TLS_ERR_CONFIG: entry('config', undefined, 'docs/architecture.md', 'an option has a value that is not allowed'),
  TLS_ERR_NOT_SUPPORTED: entry('config', undefined, 'README.md', 'a feature that Mayfly leaves out was asked for'),
  TLS_ERR_KEY_FOLDER: entry(
    'config',
    undefined,
    'docs/agent.md',
    'the files of ticket keys must not lie in this folder',
  ),
  TLS_ERR_KEY_MISMATCH: entry(
    'config',
    undefined,
    'RFC 9846 §4.5.2',
    'the private key does not belong to the certificate',
  ),
  TLS_ERR_BAD_KEY: entry('config', undefined, 'docs/architecture.md', 'a private key cannot be read'),
  TLS_ERR_SIGN_FAILED: entry('config', 'internal_error', 'RFC 9846 §4.5.2', 'the private key operation failed'),
  TLS_ERR_WRONG_STATE: entry(
    'caller',
    undefined,
    'docs/architecture.md',
    'a call came at a time when it makes no sense',
  ),
  TLS_ERR_SECRET_ERASED: entry('caller', undefined, 'docs/architecture.md', 'a secret was used after its end'),
} as const satisfies Record<string, ErrorEntry>;

export type TLSErrorCode = keyof typeof errorTable;

/**
 * Every failure of Mayfly. `code` is stable; the text says who, what was expected and what came, and never holds key
 * bytes.
 */
export class TLSError extends Error {
  readonly code: TLSErrorCode;
  readonly blame: Blame;
  /** The alert that is sent to the peer, or, for `TLS_ERR_ALERT_RECEIVED`, the one that the peer sent. */
  readonly alert: AlertDescription | undefined;
  readonly section: string;

  constructor(code: TLSErrorCode, detail: string, options: { cause?: unknown; alert?: AlertDescription } = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    const row: ErrorEntry = errorTable[code];
    this.name = 'TLSError';
    this.code = code;
    this.blame = row.blame;
    this.alert = options.alert ?? row.alert;
    this.section = row.section;
  }
}

function entry(blame: Blame, alert: AlertDescription | undefined, section: string, summary: string): ErrorEntry {
  return alert === undefined ? { blame, section, summary } : { blame, alert, section, summary };
}
