/** Why a record, or what is in it, was not taken. Counted by reason for operators; never an error: a store may be hostile. */

export type RecordRefusal =
  /** Longer than its kind may be, or more records than are looked at. */
  | 'oversized'
  | 'malformed'
  /** Of another ring: another fleet name, allow-list, policy or timing. */
  | 'foreign_ring'
  /** Signed by none of the allow-list. */
  | 'unknown_signer'
  | 'evicted_signer'
  | 'bad_signature'
  /** Older than one of the same instance that was seen before. */
  | 'replayed'
  /** Of an epoch, or a moment, that is over or still far. */
  | 'untimely'
  /** Its times are not those that the configuration demands. */
  | 'bad_times'
  /** From before the last flush or eviction. */
  | 'old_generation'
  /** Its envelope does not open, or not to what the header promises. */
  | 'bad_envelope'
  /** Zero, or seen before under another epoch. */
  | 'bad_key'
  /** By a process that has not shown itself: whoever makes or sends keys is to be seen in the list of members. */
  | 'unannounced';
