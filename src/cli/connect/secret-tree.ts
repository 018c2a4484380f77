/**
 * The tree of secrets of one connection, for people: the ledger's, with the RFC's names and without the steps between.
 *
 *     PSK or 0 ─▶ EarlySecret ─▶ HandshakeSecret ◀─ (EC)DHE shared secret
 *                                  ├─▶ handshake traffic secrets ─▶ write keys, IVs, finished keys
 *                                  └─▶ MainSecret ─▶ application traffic secrets ─▶ write keys, IVs
 *                                                  └▶ exporter secret, resumption secret ─▶ PSK of each ticket
 *
 *     TLS 1.2: premaster secret ─▶ (extended) master secret ─▶ key block ─▶ two write keys, two implicit nonces
 *
 * RFC 9846 §7.1; RFC 5246 §6.3, §8.1; RFC 7627 §4.
 */

import type { KeyNode, KeyTree } from '../../ledger/key-tree.ts';

export interface SecretNode {
  /** The RFC's name. */
  readonly name: string;
  /** Bytes. */
  readonly length: number;
  readonly note?: string;
  readonly children: readonly SecretNode[];
}

/** What the summary of the handshake says. */
export interface TreeContext {
  readonly version: 'TLSv1.2' | 'TLSv1.3';
  readonly resumed: boolean;
  /** Undefined where no PSK was used, neither of a ticket nor an external one. */
  readonly pskMode?: 'psk_dhe_ke' | 'psk_ke' | undefined;
  /** Undefined where no key exchange took place. */
  readonly namedGroup: string | undefined;
}

/**
 * The roots are what the connection's keys rest on: a key exchange, a session's secret, or both; and before them what was
 * made of a session that was offered in vain.
 */
export function secretTree(tree: KeyTree, context: TreeContext): SecretNode[] {
  return tree.secrets.flatMap((root) => drawn(root, { ...context, above: [], nth: 0 }));
}

interface Place extends TreeContext {
  /** What it grew from, the nearest last. */
  readonly above: readonly KeyNode[];
  /** Which of its siblings of the same kind it is, from 0. */
  readonly nth: number;
}

/** A node, or in the place of one that is not shown what grew from it. */
function drawn(node: KeyNode, place: Place): SecretNode[] {
  const above = [...place.above, node];
  const seen = new Map<string, number>();
  const children = inOrder(node).flatMap((child) => {
    const nth = seen.get(child.kind) ?? 0;
    seen.set(child.kind, nth + 1);
    return drawn(child, { ...place, above, nth });
  });
  const name = isCopy(node, place) ? undefined : nameOf(node, place);
  if (name === undefined) {
    return children;
  }
  const note = noteOf(node, place);
  return [{ name, length: node.length, ...(note === undefined ? {} : { note }), children }];
}

/** The same bytes again, for somebody with another idea of when they end. */
function isCopy({ kind }: KeyNode, { above }: Place): boolean {
  const parent = above.at(-1)?.kind;
  return (kind === 'masterSecret' && parent === 'extendedMasterSecret') || (parent === kind && !(kind in traffic));
}

/** Undefined for steps that the RFC gives no name of interest to people, and for what carries secrets elsewhere. */
function nameOf({ kind }: KeyNode, { above, nth, version }: Place): string | undefined {
  if (kind in traffic) {
    const generation = above.filter((parent) => parent.kind === kind).length;
    return kind.startsWith('CLIENT_TRAFFIC') || kind.startsWith('SERVER_TRAFFIC')
      ? `${traffic[kind]}_${generation}`
      : traffic[kind];
  }
  switch (kind) {
    case 'sharedSecret':
      return version === 'TLSv1.2' ? 'premaster secret' : '(EC)DHE shared secret';
    case 'resumptionPsk':
      return above.at(-1)?.kind === 'resumptionSecret' ? `PSK of ticket ${nth + 1}` : 'PSK';
    case 'writeKey':
    case 'writeIv':
      return `${senderOf(above)}_${kind === 'writeKey' ? 'write_key' : 'write_iv'}`;
    default:
      return names[kind];
  }
}

function noteOf(node: KeyNode, { above, version, resumed, pskMode, namedGroup }: Place): string | undefined {
  switch (node.kind) {
    case 'sharedSecret':
    case 'preMasterSecret':
      return version === 'TLSv1.3' && namedGroup === 'X25519MLKEM768' ? 'ML-KEM-768 and x25519' : namedGroup;
    case 'writeKey':
    case 'clientWriteKey':
    case 'serverWriteKey':
      return usesNote(node);
    case 'resumptionPsk':
      if (above.length > 0) {
        return undefined;
      }
      return resumed ? 'from the ticket' : 'from the ticket, which the server did not take';
    case 'externalPsk':
      return 'from --psk-file';
    case 'earlySecret':
      // Of several PSKs that were offered, one was chosen.
      return node.children.some(({ kind }) => kind === 'derived') ? 'goes on below' : 'not used';
    case 'handshakeSecret':
      return resumed || pskMode !== undefined ? 'with the EarlySecret' : 'no PSK: from zeros';
    case 'finishedKey':
      return above.at(-1)?.kind === 'binderKey' ? 'of the binder' : undefined;
    case 'extendedMasterSecret':
      return 'bound to this handshake';
    case 'masterSecret':
      return masterNote(above, resumed);
    case 'keyBlock':
      return 'of this connection alone';
    case 'clientVerifyData':
    case 'serverVerifyData':
      return 'in its Finished';
    case 'clientImplicitNonce':
    case 'serverImplicitNonce':
      // RFC 5288 §3, RFC 7905 §2.
      return node.length === GCM_IMPLICIT_LENGTH
        ? 'implicit; 8 more go with each record'
        : 'implicit; XOR the record counter';
    default:
      return undefined;
  }
}

/** What the record key made of it protected, or opened, up to the end. */
function usesNote({ children }: KeyNode): string | undefined {
  const uses = children.find(({ kind }) => kind === 'aeadKey')?.uses;
  if (uses?.records === undefined) {
    return undefined;
  }
  const { records, bytes = 0 } = uses;
  return `${records} record${records === 1 ? '' : 's'}, ${bytes.toLocaleString('en')} byte${bytes === 1 ? '' : 's'}`;
}

function masterNote(above: readonly KeyNode[], resumed: boolean): string {
  if (above.length > 0) {
    return 'not bound to the handshake';
  }
  return resumed
    ? 'from the session: no key exchange'
    : 'of the session that was offered, which the server did not take';
}

function senderOf(above: readonly KeyNode[]): 'client' | 'server' {
  return above.at(-1)?.kind.startsWith('CLIENT_') ? 'client' : 'server';
}

/** A key block is shown as it is cut: keys before nonces (RFC 5246 §6.3). */
function inOrder({ kind, children }: KeyNode): readonly KeyNode[] {
  const isNonce = (child: KeyNode) => Number(child.kind.endsWith('Nonce'));
  return kind === 'keyBlock' ? [...children].sort((a, b) => isNonce(a) - isNonce(b)) : sorted(children);
}

/** Who of the two finishes first depends on who resumes. */
function sorted(children: readonly KeyNode[]): readonly KeyNode[] {
  const rank = ({ kind }: KeyNode) => ['clientVerifyData', 'serverVerifyData'].indexOf(kind);
  return [...children].sort((a, b) => rank(a) - rank(b));
}

const GCM_IMPLICIT_LENGTH = 4;

const traffic: Readonly<Record<string, string>> = {
  CLIENT_EARLY_TRAFFIC_SECRET: 'client_early_traffic_secret',
  CLIENT_HANDSHAKE_TRAFFIC_SECRET: 'client_handshake_traffic_secret',
  SERVER_HANDSHAKE_TRAFFIC_SECRET: 'server_handshake_traffic_secret',
  CLIENT_TRAFFIC_SECRET: 'client_application_traffic_secret',
  SERVER_TRAFFIC_SECRET: 'server_application_traffic_secret',
};

const names: Readonly<Record<string, string>> = {
  externalPsk: 'external PSK',
  importedPsk: 'imported PSK',
  preMasterSecret: 'premaster secret',
  extendedMasterSecret: 'extended master secret',
  masterSecret: 'master secret',
  keyBlock: 'key block',
  clientWriteKey: 'client_write_key',
  serverWriteKey: 'server_write_key',
  clientImplicitNonce: 'client_write_IV',
  serverImplicitNonce: 'server_write_IV',
  clientVerifyData: 'client verify_data',
  serverVerifyData: 'server verify_data',
  earlySecret: 'EarlySecret',
  binderKey: 'binder_key',
  finishedKey: 'finished_key',
  handshakeSecret: 'HandshakeSecret',
  mainSecret: 'MainSecret',
  EXPORTER_SECRET: 'exporter_secret',
  resumptionSecret: 'resumption_secret',
};
