/** Makes one TLS connection, watches its handshake from outside, and closes it. */

import { performance } from 'node:perf_hooks';
import type { HandshakeSummary } from '../../actions.ts';
import { TLSError } from '../../errors.ts';
import type { LedgerEntry } from '../../ledger/key-ledger.ts';
import type { KeyTree } from '../../ledger/key-tree.ts';
import { startKeyLedger, stopKeyLedger } from '../../ledger/process-ledger.ts';
import { type ConnectionOptions, connect, type TLSSocket } from '../../node/tls.ts';
import { type Address, formatAddress } from '../address.ts';
import { formatDuration } from '../duration.ts';
import { connectionProblem, flagProblem, messageOf, Problem } from '../problem.ts';
import type { FilePsk } from '../psk-file.ts';
import { type Versions, versionOptions } from '../versions.ts';
import { EarlyRequest, type EarlyRequestReport } from './early-request.ts';

export interface Attempt {
  readonly peer: Address;
  readonly serverName: string;
  /** PEM. */
  readonly ca: string | undefined;
  /** For servers that ask for a certificate, PEM. */
  readonly own: { readonly cert: string; readonly key: string } | undefined;
  readonly alpnProtocols: readonly string[];
  readonly groups: string | undefined;
  readonly suites: string | undefined;
  readonly versions: Versions;
  /** TLS 1.2: ask for sessions by ID, not for tickets. */
  readonly byId: boolean;
  readonly session: Uint8Array | undefined;
  readonly insecure: boolean;
  readonly onKeyLog: ((line: Uint8Array) => void) | undefined;
  /** Milliseconds for everything up to the end of the handshake. */
  readonly timeout: number;
  /** Tickets are wanted for later: wait longer for them. */
  readonly keepTickets: boolean;
  /** To offer; the caller erases them. */
  readonly psks: readonly FilePsk[];
  /** An ECHConfigList, or a decoy. */
  readonly ech: Uint8Array | 'grease' | undefined;
  /** A GET to send in early data where the session allows it. */
  readonly early: { readonly path: string; readonly request: Uint8Array } | undefined;
}

export interface Outcome {
  readonly summary: HandshakeSummary;
  readonly remote: Address;
  /** Why the server is not to be trusted, by its code; only with `insecure`. */
  readonly distrust: string | undefined;
  readonly early: EarlyRequestReport | undefined;
  readonly phases: readonly Phase[];
  /** After its end: in milliseconds since the connection was begun. */
  readonly secrets: KeyTree;
  /** Of the whole process: copies and sessions too. */
  readonly secretsMade: number;
  readonly secretsAlive: number;
  /** Sessions of the tickets that came, encoded: they hold secrets. */
  readonly sessions: readonly Uint8Array[];
}

export interface Phase {
  readonly name: 'lookup' | 'tcp' | 'hello' | 'authentication' | 'complete' | 'first ticket';
  /** Milliseconds. */
  readonly duration: number;
}

/** Milliseconds in which tickets usually come, if at all. */
const TICKET_PATIENCE = 250;
const TICKET_PATIENCE_TO_KEEP = 2_000;
/** Tickets come in one flight: what follows the first comes at once. */
const NEXT_TICKET_PATIENCE = 60;

/** @throws Problem of what went wrong, with the peer's address */
export async function makeHandshake(attempt: Attempt): Promise<Outcome> {
  const start = performance.now();
  const ledger = startKeyLedger({ now: () => Math.round((performance.now() - start) * 1000) / 1000 });
  let socket: TLSSocket | undefined;
  let told: Omit<Outcome, 'secrets' | 'secretsMade' | 'secretsAlive'>;
  try {
    const marks = new Map<string, number>();
    const sessions: Uint8Array[] = [];
    socket = open(attempt, (name) => {
      if (!marks.has(name)) {
        marks.set(name, performance.now() - start);
      }
    });
    socket.on('session', (session: Uint8Array) => sessions.push(session));
    const asked = attempt.early === undefined ? undefined : new EarlyRequest(socket, attempt.early.path);
    await completed(socket, attempt);
    const summary = socket.mayfly as HandshakeSummary;
    const remote = { host: socket.remoteAddress ?? attempt.peer.host, port: socket.remotePort ?? attempt.peer.port };
    const distrust = socket.authorizationError === null ? undefined : String(socket.authorizationError);
    const early = await asked?.answered(attempt.early?.request ?? new Uint8Array(0));
    if (summary.version === 'TLSv1.3') {
      await ticketsCame(socket, sessions, attempt);
    }
    told = { summary, remote, distrust, early, phases: phasesOf(summary, marks, [...ledger.entries]), sessions };
  } catch (error) {
    stopKeyLedger();
    throw error;
  } finally {
    await close(socket);
  }
  const entries = [...ledger.entries];
  const secrets = withSession(socket.keyLedger() as KeyTree, entries, attempt);
  stopKeyLedger();
  const secretsAlive = entries.filter(({ endedAt }) => endedAt === undefined).length;
  return { ...told, secrets, secretsMade: entries.length, secretsAlive };
}

/** A TLS 1.2 session that was offered in vain left nothing in the connection: it is shown all the same. */
function withSession(tree: KeyTree, entries: readonly LedgerEntry[], { session }: Attempt): KeyTree {
  const given = session && entries.find(({ kind }) => kind === 'masterSecret' || kind === 'resumptionPsk');
  const isOfSession = given?.owner === undefined && !tree.secrets.some(({ kind }) => kind === given?.kind);
  if (given === undefined || !isOfSession) {
    return tree;
  }
  const { id, kind, length, bornAt, endedAt, why } = given;
  const root = { id, kind, length, bornAt, endedAt, why, parents: [], owner: null, children: [] };
  return { ...tree, secrets: [root, ...tree.secrets] };
}

/** @throws Problem `usage` */
function open(attempt: Attempt, mark: (name: string) => void): TLSSocket {
  const socket = begin({
    host: attempt.peer.host,
    port: attempt.peer.port,
    servername: attempt.serverName,
    ALPNProtocols: [...attempt.alpnProtocols],
    rejectUnauthorized: !attempt.insecure,
    allowTruncation: true,
    // A revoked certificate is refused; and what was stapled, and which timestamps came, is told.
    stapling: 'check',
    requestSCTs: true,
    ...versionOptions(attempt.versions),
    ...(attempt.byId ? { secureOptions: SSL_OP_NO_TICKET } : {}),
    ...(attempt.ca === undefined ? {} : { ca: attempt.ca }),
    ...(attempt.own === undefined ? {} : { cert: attempt.own.cert, key: attempt.own.key }),
    ...(attempt.groups === undefined ? {} : { groups: attempt.groups }),
    ...(attempt.suites === undefined ? {} : { ciphers: attempt.suites }),
    ...(attempt.session === undefined ? {} : { session: attempt.session }),
    ...(attempt.psks.length === 0 ? {} : { externalPsks: attempt.psks }),
    ...(attempt.ech === undefined ? {} : { encryptedClientHello: attempt.ech }),
    ...(attempt.early === undefined ? {} : { earlyData: attempt.early.request }),
  });
  socket.on('lookup', () => mark('lookup'));
  socket.on('connect', () => mark('connect'));
  socket.on('secureConnect', () => mark('secureConnect'));
  socket.on('session', () => mark('session'));
  if (attempt.onKeyLog !== undefined) {
    socket.on('keylog', attempt.onKeyLog);
  }
  return socket;
}

function begin(options: ConnectionOptions): TLSSocket {
  try {
    return connect(options);
  } catch (error) {
    throw flagProblem(error);
  }
}

function completed(socket: TLSSocket, attempt: Attempt): Promise<void> {
  const peer = formatAddress(attempt.peer);
  return new Promise((resolve, reject) => {
    let connected = false;
    let retryConfigs: Buffer | null | undefined;
    socket.once('echRejected', (configs: Buffer | null) => {
      retryConfigs = configs;
    });
    const timer = setTimeout(() => {
      const what = connected ? 'the server accepted, but did not finish the handshake' : 'no answer';
      const hint = connected
        ? 'It may not speak TLS on this port.'
        : 'Check the address, or give it longer with --timeout.';
      reject(new Problem('timeout', `${peer}: ${what} within ${formatDuration(attempt.timeout)}`, hint));
    }, attempt.timeout);
    socket.once('connect', () => {
      connected = true;
    });
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      resolve();
    });
    // Stays for the socket's whole life: what comes after the handshake is of no interest here.
    socket.on('error', (error: Error) => {
      clearTimeout(timer);
      reject(retryConfigs === undefined ? connectionProblem(peer, error) : echProblem(peer, error, retryConfigs));
    });
    socket.once('close', () => {
      clearTimeout(timer);
      reject(new Problem('connection_lost', `${peer}: the server closed the connection during the handshake`));
    });
  });
}

/** The server has proved to be the one that speaks for the public name, and could not read our hello. */
function echProblem(peer: string, error: Error, retryConfigs: Uint8Array | null): Problem {
  const hint =
    retryConfigs === null
      ? 'It says that it does not have ECH any more: leave --ech out, which shows the name to everybody on the way.'
      : `Its key has changed: try --ech ${Buffer.from(retryConfigs).toString('base64')}`;
  return new Problem('handshake_failed', `${peer}: ${messageOf(error)}`, hint, error);
}

/**
 * Reads on for a moment: tickets come after the handshake, if they come. So does the word of a server that turns us away
 * because of our certificate, which in TLS 1.3 it sees only then.
 */
function ticketsCame(
  socket: TLSSocket,
  sessions: readonly Uint8Array[],
  { peer, keepTickets }: Attempt,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let timer = setTimeout(resolve, keepTickets ? TICKET_PATIENCE_TO_KEEP : TICKET_PATIENCE);
    const again = () => {
      clearTimeout(timer);
      timer = setTimeout(resolve, NEXT_TICKET_PATIENCE);
    };
    if (sessions.length > 0) {
      again();
    }
    socket.on('session', again);
    socket.once('error', (error) => {
      if (error instanceof TLSError && error.code === 'TLS_ERR_ALERT_RECEIVED') {
        reject(connectionProblem(formatAddress(peer), error));
      }
    });
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.resume();
  });
}

function close(socket: TLSSocket | undefined): Promise<void> {
  if (socket === undefined || socket.destroyed) {
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), 200);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.on('error', () => {});
    socket.resume();
    socket.end();
  });
}

/** The marks of the socket and the births of secrets, which tell how far the handshake had come. */
function phasesOf(
  { version, resumed }: HandshakeSummary,
  marks: ReadonlyMap<string, number>,
  secrets: readonly LedgerEntry[],
): Phase[] {
  const bornAt = (kind: string) => secrets.find((secret) => secret.kind === kind)?.bornAt;
  const is12 = version === 'TLSv1.2';
  const ends: readonly (readonly [Phase['name'], number | undefined])[] = [
    ['lookup', marks.get('lookup')],
    ['tcp', marks.get('connect')],
    // The first secrets are made of the ServerHello; but in TLS 1.2, in full, only once the server is authenticated.
    ['hello', is12 ? (resumed ? bornAt('keyBlock') : undefined) : bornAt('handshakeSecret')],
    // In TLS 1.3 the application secrets are made once the server's Finished is verified.
    ['authentication', bornAt(is12 ? (resumed ? '' : 'sharedSecret') : 'CLIENT_TRAFFIC_SECRET')],
    ['complete', marks.get('secureConnect')],
    // A TLS 1.2 session comes with the handshake.
    ['first ticket', is12 ? undefined : marks.get('session')],
  ];
  const phases: Phase[] = [];
  let last = 0;
  for (const [name, end] of ends) {
    if (end !== undefined) {
      phases.push({ name, duration: Math.max(0, end - last) });
      last = Math.max(last, end);
    }
  }
  return phases;
}

/** `SSL_OP_NO_TICKET` of OpenSSL, as `node:tls` takes it in `secureOptions`. */
const SSL_OP_NO_TICKET = 0x4000;
