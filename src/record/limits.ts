/** The sizes of the record layer. RFC 9846 §5.1, §5.2. */

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
