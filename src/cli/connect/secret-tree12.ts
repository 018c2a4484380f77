/**
 * The tree of secrets of one TLS 1.2 connection, from what was born in it.
 *
 *     full:     premaster secret ─▶ (extended) master secret ─▶ key block ─▶ two write keys, two implicit nonces
 *     resumed:          the session's master secret ─▶ key block ─▶ two write keys, two implicit nonces
 *
 * The master secret is also the source of both Finished messages and, while the connection lasts, of exporters.
 * RFC 5246 §6.3, §8.1; RFC 7627 §4; RFC 5288 §3.
 */

import type { SecretLife } from '../../ledger/secrets.ts';
import { node, present, type SecretNode, type Take, type TreeContext, taker } from './secret-node.ts';

/** One root: the key exchange, or the master secret of the session that is resumed. */
export function secretTree12(lives: readonly SecretLife[], context: TreeContext): SecretNode[] {
  if (context.resumed) {
    const ofSession = lives.find(({ kind }) => kind === 'masterSecret');
    const note = 'from the session: no key exchange';
    return ofSession === undefined ? [] : [masterBranch(lives, ofSession, 'master secret', note, context)];
  }
  const at = lives.findIndex(({ kind }) => kind === 'sharedSecret' || kind === 'preMasterSecret');
  return at < 0 ? [] : [node('premaster secret', lives[at], exchanged(lives.slice(at), context), context.namedGroup)];
}

/** What was made of the key exchange. `lives` begins with its result. */
function exchanged(lives: readonly SecretLife[], context: TreeContext): SecretNode[] {
  const bound = lives.find(({ kind }) => kind === 'extendedMasterSecret');
  if (bound !== undefined) {
    const note = 'bound to this handshake';
    return [masterBranch(lives, bound, 'extended master secret', note, context)];
  }
  const legacy = lives.find(({ kind }) => kind === 'masterSecret');
  return legacy === undefined
    ? []
    : [masterBranch(lives, legacy, 'master secret', 'not bound to the handshake', context)];
}

function masterBranch(
  lives: readonly SecretLife[],
  master: SecretLife,
  name: string,
  note: string,
  { resumed }: TreeContext,
): SecretNode {
  const take = taker(lives);
  const block = take('keyBlock');
  // Who of the two finishes first depends on who resumes.
  const senders = resumed ? ['server', 'client'] : ['client', 'server'];
  const finished = new Map(senders.map((sender) => [sender, take('verifyData')]));
  const verifyData = (sender: string) => {
    const life = finished.get(sender);
    return life && node(`${sender} verify_data`, life, [], 'in its Finished');
  };
  const children = [
    block && node('key block', block, recordKeys(take), 'of this connection alone'),
    verifyData('client'),
    verifyData('server'),
  ];
  return node(name, master, present(children), note);
}

/** Cut in this order: the client's, then the server's. */
function recordKeys(take: Take): SecretNode[] {
  const cut = (sender: string) => {
    const key = take('writeKey');
    const nonce = take('implicitNonce');
    return {
      key: key && node(`${sender}_write_key`, key),
      nonce: nonce && node(`${sender}_write_IV`, nonce, [], nonceNote(nonce)),
    };
  };
  const client = cut('client');
  const server = cut('server');
  return present([client.key, server.key, client.nonce, server.nonce]);
}

function nonceNote({ length }: SecretLife): string {
  return length === GCM_IMPLICIT_LENGTH ? 'implicit; 8 more go with each record' : 'implicit; XOR the record counter';
}

const GCM_IMPLICIT_LENGTH = 4;
