/**
 * The tree of secrets of one connection, from what was born in it: which grew from which, how long each is.
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

export interface SecretNode {
  /** The RFC's name. */
  readonly name: string;
  /** Bytes. */
  readonly length: number;
  readonly note?: string;
  readonly children: readonly SecretNode[];
}

export interface TreeContext {
  readonly resumed: boolean;
  /** Undefined where no key exchange took place. */
  readonly namedGroup: string | undefined;
}

/** One root for a full handshake, the key exchange; two for a resumed one: the ticket's PSK and the key exchange. */
export function secretTree(lives: readonly SecretLife[], { resumed, namedGroup }: TreeContext): SecretNode[] {
  const shared = lives.filter((life) => life.kind === 'sharedSecret').at(-1);
  const handshakeAt = lives.findIndex((life) => life.kind === 'handshakeSecret');
  const before = handshakeAt < 0 ? lives : lives.slice(0, handshakeAt);
  const roots: SecretNode[] = [];

  const pskNode = pskBranch(before, resumed);
  if (pskNode !== undefined) {
    roots.push(pskNode);
  }
  const handshake = handshakeAt < 0 ? [] : [handshakeBranch(lives.slice(handshakeAt), resumed)];
  if (shared !== undefined) {
    roots.push(
      node(
        '(EC)DHE shared secret',
        shared,
        handshake,
        namedGroup === undefined ? undefined : (groupNotes[namedGroup] ?? namedGroup),
      ),
    );
  }
  return roots;
}

/** What was made of the ticket's PSK before the server answered; undefined when no session was offered. */
function pskBranch(lives: readonly SecretLife[], resumed: boolean): SecretNode | undefined {
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
  const salt = resumed ? 'with the EarlySecret' : 'with an EarlySecret of zeros: there is no PSK';
  return node('HandshakeSecret', handshake, present(children), salt);
}

type Take = (kind: string) => SecretLife | undefined;

/** Hands out the births of each kind once, in their order. */
function taker(lives: readonly SecretLife[]): Take {
  const rest = [...lives];
  return (kind) => {
    const at = rest.findIndex((life) => life.kind === kind);
    return at < 0 ? undefined : rest.splice(at, 1)[0];
  };
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

function node(name: string, life: SecretLife, children: readonly SecretNode[] = [], note?: string): SecretNode {
  return { name, length: life.length, ...(note === undefined ? {} : { note }), children };
}

function present<T>(values: readonly (T | undefined)[]): T[] {
  return values.filter((value) => value !== undefined);
}

const groupNotes: Readonly<Record<string, string>> = {
  X25519MLKEM768: 'X25519MLKEM768: ML-KEM-768 and x25519 together',
};

const rfcNames: Readonly<Record<string, string>> = {
  CLIENT_HANDSHAKE_TRAFFIC_SECRET: 'client_handshake_traffic_secret',
  SERVER_HANDSHAKE_TRAFFIC_SECRET: 'server_handshake_traffic_secret',
  CLIENT_TRAFFIC_SECRET: 'client_application_traffic_secret_0',
  SERVER_TRAFFIC_SECRET: 'server_application_traffic_secret_0',
};
