/**
 * The tree of secrets of one connection, from what was born in it: which grew from which, how long each is. Here is that
 * of TLS 1.3; that of TLS 1.2 is in secret-tree12.ts.
 *
 *     PSK or 0 ─▶ EarlySecret ─▶ HandshakeSecret ◀─ (EC)DHE shared secret
 *                                  ├─▶ handshake traffic secrets ─▶ write keys, IVs, finished keys
 *                                  └─▶ MainSecret ─▶ application traffic secrets ─▶ write keys, IVs
 *                                                  └▶ exporter secret, resumption secret ─▶ PSK of each ticket
 *
 * RFC 9846 §7.1. The ledger tells births, not parents: the ladder gives each kind its place, and the order in which a
 * client starts to use its traffic secrets tells record keys and finished keys of the same kind apart.
 */

import type { SecretLife } from '../../ledger/secrets.ts';
import { node, present, type SecretNode, type Take, type TreeContext, taker } from './secret-node.ts';
import { secretTree12 } from './secret-tree12.ts';

/**
 * The roots are what the connection's keys rest on: a key exchange, a session's secret, or both; and before them what was
 * made of a session that was offered in vain.
 */
export function secretTree(lives: readonly SecretLife[], context: TreeContext): SecretNode[] {
  const unused = context.offered && !context.resumed ? offeredInVain(lives) : undefined;
  const roots = context.version === 'TLSv1.2' ? secretTree12(lives, context) : secretTree13(lives, context);
  return present([unused, ...roots]);
}

/** The session's secret is the first that is born: a PSK (TLS 1.3) or a master secret (TLS 1.2). */
function offeredInVain(lives: readonly SecretLife[]): SecretNode | undefined {
  const first = lives.find(({ kind }) => kind === 'resumptionPsk' || kind === 'masterSecret');
  return first?.kind === 'masterSecret'
    ? node('master secret', first, [], 'of the session that was offered, which the server did not take')
    : pskBranch(lives, false);
}

/** One root for a full handshake, the key exchange; two for a resumed one: the ticket's PSK and the key exchange. */
function secretTree13(lives: readonly SecretLife[], { resumed, namedGroup }: TreeContext): SecretNode[] {
  const shared = lives.filter((life) => life.kind === 'sharedSecret').at(-1);
  const handshakeAt = lives.findIndex((life) => life.kind === 'handshakeSecret');
  const psk = resumed ? pskBranch(lives, true) : undefined;
  const handshake = handshakeAt < 0 ? [] : [handshakeBranch(lives.slice(handshakeAt), resumed)];
  const groupNote = namedGroup === undefined ? undefined : (groupNotes[namedGroup] ?? namedGroup);
  return present([psk, shared && node('(EC)DHE shared secret', shared, handshake, groupNote)]);
}

/** What was made of the ticket's PSK before the server answered; undefined when no session was offered. */
function pskBranch(all: readonly SecretLife[], resumed: boolean): SecretNode | undefined {
  const answeredAt = all.findIndex(({ kind }) => kind === 'handshakeSecret' || kind === 'keyBlock');
  const lives = answeredAt < 0 ? all : all.slice(0, answeredAt);
  const psk = lives.find((life) => life.kind === 'resumptionPsk');
  const binders = lives.filter((life) => life.kind === 'binderKey');
  if (psk === undefined || binders.length === 0) {
    return undefined;
  }
  // The one that the binder keys came from; one of zeros may be made besides it, as a constant.
  const early = lives.slice(0, lives.indexOf(binders[0])).findLast((life) => life.kind === 'earlySecret');
  const finished = lives.filter((life) => life.kind === 'finishedKey');
  const binderNodes = binders.map((binder, i) =>
    node(
      'binder_key',
      binder,
      finished[i] === undefined ? [] : [node('finished_key', finished[i], [], 'of the binder')],
    ),
  );
  const earlyNote = resumed ? 'goes into the HandshakeSecret' : 'not used';
  return node(
    'PSK',
    psk,
    early === undefined ? binderNodes : [node('EarlySecret', early, binderNodes, earlyNote)],
    resumed ? 'from the ticket' : 'from the ticket, which the server did not take',
  );
}

/** From the handshake secret on. `lives` begins with it. */
function handshakeBranch(lives: readonly SecretLife[], resumed: boolean): SecretNode {
  const take = taker(lives);
  const handshake = take('handshakeSecret') as SecretLife;
  // The order of use at a client: it reads the server's flight, then the server's data, and then sends its own.
  const serverHandshake = traffic(take, 'SERVER_HANDSHAKE_TRAFFIC_SECRET', 'server', true);
  const serverApplication = traffic(take, 'SERVER_TRAFFIC_SECRET', 'server', false);
  const clientHandshake = traffic(take, 'CLIENT_HANDSHAKE_TRAFFIC_SECRET', 'client', true);
  const clientApplication = traffic(take, 'CLIENT_TRAFFIC_SECRET', 'client', false);

  const main = take('mainSecret');
  const exporter = take('EXPORTER_SECRET');
  const resumption = take('resumptionSecret');
  const tickets = lives.filter((life) => life.kind === 'resumptionPsk');
  const mainChildren = [
    clientApplication,
    serverApplication,
    exporter && node('exporter_secret', exporter),
    resumption &&
      node(
        'resumption_secret',
        resumption,
        tickets.map((psk, i) => node(`PSK of ticket ${i + 1}`, psk)),
      ),
  ];
  const children = [clientHandshake, serverHandshake, main && node('MainSecret', main, present(mainChildren))];
  const salt = resumed ? 'with the EarlySecret' : 'no PSK: EarlySecret of zeros';
  return node('HandshakeSecret', handshake, present(children), salt);
}

function traffic(take: Take, kind: string, sender: 'client' | 'server', finishes: boolean): SecretNode | undefined {
  const secret = take(kind);
  if (secret === undefined) {
    return undefined;
  }
  const key = take('writeKey');
  const iv = take('writeIv');
  const finished = finishes ? take('finishedKey') : undefined;
  const children = [
    key && node(`${sender}_write_key`, key),
    iv && node(`${sender}_write_iv`, iv),
    finished && node('finished_key', finished),
  ];
  return node(rfcNames[kind], secret, present(children));
}

const groupNotes: Readonly<Record<string, string>> = {
  X25519MLKEM768: 'ML-KEM-768 and x25519',
};

const rfcNames: Readonly<Record<string, string>> = {
  CLIENT_HANDSHAKE_TRAFFIC_SECRET: 'client_handshake_traffic_secret',
  SERVER_HANDSHAKE_TRAFFIC_SECRET: 'server_handshake_traffic_secret',
  CLIENT_TRAFFIC_SECRET: 'client_application_traffic_secret_0',
  SERVER_TRAFFIC_SECRET: 'server_application_traffic_secret_0',
};
