import type { Secret } from '../bytes/secret.ts';

/** A record key and its IV, for one direction and one generation. RFC 9846 §7.3. */
export interface TrafficKeys {
  readonly writeKey: Secret;
  /** 12 bytes. */
  readonly writeIv: Secret;
}
