/**
 * Known answers for the TLS 1.2 key schedule. The outputs of `PUBLISHED` went over the TLS working group's list in 2009;
 * master secrets and key blocks are the first cases of NIST's CAVP vectors for SP 800-135; the extended master secrets
 * and verify_data were made with OpenSSL 3.0's `openssl kdf TLS1-PRF`.
 */

import { utf8 } from '../../src/bytes/bytes.ts';
import type { HashName } from '../../src/crypto/suites.ts';

interface PrfVector {
  readonly hash: HashName;
  readonly secret: string;
  readonly label: string;
  readonly seed: string;
  readonly output: string;
}

export const PUBLISHED: readonly PrfVector[] = [
  {
    hash: 'sha256',
    secret: '9bbe436ba940f017b17652849a71db35',
    label: 'test label',
    seed: 'a0ba9f936cda311827a6f796ffd5198c',
    output: `
      e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a
      6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab
      4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701
      87347b66`,
  },
  {
    hash: 'sha384',
    secret: 'b80b733d6ceefcdc71566ea48e5567df',
    label: 'test label',
    seed: 'cd665cf6a8447dd6ff8b27555edb7465',
    output: `
      7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cd
      e9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700884f9dc236f80edd
      8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425
      9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee6
      91c8f3a26854308d5eaa3be85e0990703d73e56f`,
  },
];

/** What the session hash and the transcript hash below are the hash of. */
export const SESSION: Uint8Array = utf8('session hash');

export interface ScheduleVector {
  readonly preMasterSecret: string;
  readonly clientHelloRandom: string;
  readonly serverHelloRandom: string;
  readonly masterSecret: string;
  /** From `preMasterSecret` and the hash of `SESSION`. */
  readonly extendedMasterSecret: string;
  /** CAVP gives other randoms to the key block than to the master secret. */
  readonly clientRandom: string;
  readonly serverRandom: string;
  readonly keyBlock: string;
  /** Under the master secret of the sha384 case and the hash of `SESSION`. */
  readonly finished: { readonly client: string; readonly server: string };
}

export const cavp: Readonly<Record<HashName, ScheduleVector>> = {
  sha256: {
    preMasterSecret: 'f8938ecc9edebc5030c0c6a441e213cd24e6f770a50dda07876f8d55da062bcadb386b411fd4fe4313a604fce6c17fbc',
    clientHelloRandom: '36c129d01a3200894b9179faac589d9835d58775f9b5ea3587cb8fd0364cae8c',
    serverHelloRandom: 'f6c9575ed7ddd73e1f7d16eca115415812a43c2b747daaaae043abfb50053fce',
    masterSecret: '202c88c00f84a17a20027079604787461176455539e705be730890602c289a5001e34eeb3a043e5d52a65e66125188bf',
    extendedMasterSecret:
      '95fd0b50afe58fb80e1e498084e5e64076766d25c2f922d44c2348ce6b83092dbf9f3ff45adf11703ff997ce0bae4b11',
    clientRandom: '62e1fd91f23f558a605f28478c58cf72637b89784d959df7e946d3f07bd1b616',
    serverRandom: 'ae6c806f8ad4d80784549dff28a4b58fd837681a51d928c3e30ee5ff14f39868',
    keyBlock: `
      d06139889fffac1e3a71865f504aa5d0d2a2e89506c6f2279b670c3e1b74f531016a2530c51a3a0f7e1d6590d0f0566b
      2f387f8d11fd4f731cdd572d2eae927f6f2f81410b25e6960be68985add6c38445ad9f8c64bf8068bf9a6679485d966f
      1ad6f68b43495b10a683755ea2b858d70ccac7ec8b053c6bd41ca299d4e51928`,
    finished: { client: '68eba7701480c06ac6666237', server: '6ff1367bde812a6ba0099e38' },
  },
  sha384: {
    preMasterSecret: 'a5e2642633f5b8c81ad3fe0c2fe3a8e5ef806b06121dd10df4bb0fe857bfdcf522558e05d2682c9a80c741a3aab1716f',
    clientHelloRandom: 'abe4bf5527429ac8eb13574d2709e8012bd1a113c6d3b1d3aa2c3840518778ac',
    serverHelloRandom: 'cb6e0b3eb02976b6466dfa9651c2919414f1648fd3a7838d02153e5bd39535b6',
    masterSecret: 'b4d49bfa87747fe815457bc3da15073d6ac73389e703079a3503c09e14bd559a5b3c7c601c7365f6ea8c68d3d9596827',
    extendedMasterSecret:
      '6cc651d62ec27d451a6f24ca48270a77c2bb38fdce289d258d53dc3a86f3b28b266418c236b73fe62d82fab828d100ff',
    clientRandom: '954b5fe1849c2ede177438261f099a2fcd884d001b9fe1de754364b1f6a6dd8e',
    serverRandom: '1b1c8568344a65c30828e7483c0e353e2c68641c9551efae6927d9cd627a107c',
    keyBlock: `
      10fd89ef689c7ef033387b8a8f3e5e8e7c11f680f6bdd71fbac3246a73e98d45d03185dde686e6b2369e4503e9dc5a6d
      2cee3e2bf2fa3f41d3de57dff3e197c8a9d5f74cc2d277119d894f8584b07a0a5822f0bd68b3433ec6adaf5c9406c5f3
      ddbb71bbe17ce98f3d4d5893d3179ef369f57aad908e2bf710639100c3ce7e0c`,
    finished: { client: '7aeaa26aa5844f0f610c5955', server: '6f95c81dc59df723a0054d4a' },
  },
};
