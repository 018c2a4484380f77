/** The sizes of the record layer, and how far its keys are used. RFC 9846 §5.1, §5.2, §5.5. */

export const RECORD_HEADER_LENGTH = 5;
/** Bytes of plaintext in one record. */
export const MAX_PLAINTEXT = 2 ** 14;
/** Bytes of TLSCiphertext.encrypted_record. */
export const MAX_CIPHERTEXT = MAX_PLAINTEXT + 256;
export const TAG_LENGTH = 16;
/** Header, inner content type and tag: what one protected record adds to its plaintext. */
export const RECORD_OVERHEAD = RECORD_HEADER_LENGTH + 1 + TAG_LENGTH;
/**
 * Records in a row that carry nothing (empty application data, change_cipher_spec, warnings): a peer that sends them
 * for ever costs us an AEAD operation each and moves nothing.
 */
export const MAX_EMPTY_RECORDS = 32;

export const CONTENT_CHANGE_CIPHER_SPEC = 20;
export const CONTENT_ALERT = 21;
export const CONTENT_HANDSHAKE = 22;
export const CONTENT_APPLICATION_DATA = 23;

/** Records left under a write key when it is replaced: room for the KeyUpdate itself and an alert. */
export const UPDATE_AT_REMAINING = 4;
/** Records left under a TLS 1.2 write key when a renegotiation is asked for: it takes a round trip or more. */
export const RENEGOTIATE_AT_REMAINING = 4096;
/**
 * What a read key may open. Not the usage limit: a receiver should not enforce that (RFC 9846 §5.5), it asks the peer for
 * a new key instead. This keeps the sequence number exact as a JavaScript integer.
 */
export const READ_LIMIT = 2 ** 48;
