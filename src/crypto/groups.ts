/** Named groups for key exchange: code points and share lengths. RFC 9846 §4.3.7, draft-ietf-tls-ecdhe-mlkem. */

export interface NamedGroupInfo {
  readonly name: NamedGroup;
  readonly code: number;
  /** Bytes of the client's key_exchange. */
  readonly clientShareLength: number;
  /** Bytes of the server's key_exchange. */
  readonly serverShareLength: number;
}

export const namedGroups = {
  X25519MLKEM768: { name: 'X25519MLKEM768', code: 0x11ec, clientShareLength: 1216, serverShareLength: 1120 },
  x25519: { name: 'x25519', code: 0x001d, clientShareLength: 32, serverShareLength: 32 },
  secp256r1: { name: 'secp256r1', code: 0x0017, clientShareLength: 65, serverShareLength: 65 },
  secp384r1: { name: 'secp384r1', code: 0x0018, clientShareLength: 97, serverShareLength: 97 },
  secp521r1: { name: 'secp521r1', code: 0x0019, clientShareLength: 133, serverShareLength: 133 },
} as const;

export type NamedGroup = keyof typeof namedGroups;

const byCode = new Map<number, NamedGroupInfo>(Object.values(namedGroups).map((group) => [group.code, group]));

/** The group with this code point, or undefined for one that Mayfly does not speak. */
export function namedGroupByCode(code: number): NamedGroupInfo | undefined {
  return byCode.get(code);
}
