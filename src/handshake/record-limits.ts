/**
 * What a server agrees to about the size of records: record_size_limit, or max_fragment_length of clients that know only this
 * forerunner. Both hold as soon as they are answered.
 *
 * RFC 8449 §4, §5; RFC 6066 §4.
 */

import type { ProtocolVersion } from '../connection-options.ts';
import type { ClientHello } from '../messages/client-hello.ts';
import { MAX_PLAINTEXT } from '../record/limits.ts';
import type { ServerHandshake } from './server.ts';

/** The extensions of the answer. */
interface AgreedRecords {
  readonly recordSizeLimit?: number;
  readonly maxFragmentLength?: number;
}

/** Sets the limits of both directions, before anything is sent that they hold for. */
export function agreeOnRecords(hs: ServerHandshake, hello: ClientHello, version: ProtocolVersion): AgreedRecords {
  const { channel } = hs.host;
  const { recordSizeLimit: theirs, maxFragmentLength } = hello.extensions;
  if (channel.quic !== undefined) {
    // A limit on records says nothing where there are none.
    return {};
  }
  if (theirs !== undefined) {
    // It counts the content type, which TLS 1.2 does not have inside.
    const typeLength = version === 'TLSv1.3' ? 0 : 1;
    const longest = MAX_PLAINTEXT + 1 - typeLength;
    const ours = Math.min(hs.options.recordSizeLimit ?? longest, longest);
    channel.limitSentRecords(theirs + typeLength);
    channel.limitReceivedRecords(ours + typeLength);
    return { recordSizeLimit: ours };
  }
  if (maxFragmentLength !== undefined) {
    channel.limitFragments(maxFragmentLength);
    return { maxFragmentLength };
  }
  return {};
}
