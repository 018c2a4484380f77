/**
 * One connection of the shim: connects to the runner, makes the handshake, echoes what comes with every byte turned over
 * (XOR 0xff), and ends as the flags say.
 */

import { connect, type Socket } from 'node:net';
import type { Action, ClientHelloInfo, HandshakeSummary, Need } from '../../src/actions.ts';
import { utf8 } from '../../src/bytes/bytes.ts';
import { Connection } from '../../src/connection.ts';
import type { ServerContext } from '../../src/connection-options.ts';
import { channelBinding } from '../../src/node/channel-binding.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import {
  checkEarlyData,
  checkHandshake,
  checkHello,
  checkRetryConfigs,
  checkSession,
  checkVerifiedName,
  same,
  Unexpected,
} from './expectations.ts';
import { type Settings, Unimplemented } from './flags.ts';
import { clientOptions, judgeChain, type ShimWorld, serverOptions, stapleFor } from './shim-options.ts';

export interface ExchangeOptions {
  readonly settings: Settings;
  /** For what follows on early data that was refused. */
  readonly retry: Settings;
  readonly world: ShimWorld;
  readonly isResumption: boolean;
  readonly session: ClientSession | undefined;
}

/**
 * Runs to the end of the connection. Resolves to the last session that a client got.
 * @throws TLSError, Unexpected, Unimplemented
 */
export async function runExchange(options: ExchangeOptions): Promise<ClientSession | undefined> {
  const exchange = new Exchange(options);
  const socket = await connectToRunner(options.settings);
  return exchange.run(socket);
}

const INITIAL_WRITE = utf8('hello');

class Exchange {
  readonly #world: ShimWorld;
  readonly #retry: Settings;
  readonly #isResumption: boolean;
  readonly #connection: Connection;
  readonly #context: ((hello: ClientHelloInfo) => ServerContext | undefined) | undefined;
  /** Those for the retry, once early data was refused. */
  #settings: Settings;
  #socket!: Socket;
  #resolve!: (session: ClientSession | undefined) => void;
  #reject!: (error: unknown) => void;
  #session: ClientSession | undefined;
  #toWriteFirst: Uint8Array = INITIAL_WRITE;
  #unfinishedWrite = false;
  #renegotiations = 0;
  #ended = false;

  constructor({ settings, retry, world, isResumption, session }: ExchangeOptions) {
    this.#settings = settings;
    this.#retry = retry;
    this.#world = world;
    this.#isResumption = isResumption;
    world.cached = false;
    if (settings.has('server')) {
      const { options, context } = serverOptions(settings, world, (hello) => checkHello(settings, hello));
      this.#context = context;
      this.#connection = Connection.server(options);
    } else {
      this.#connection = Connection.client(clientOptions(settings, world, session));
    }
  }

  async run(socket: Socket): Promise<ClientSession | undefined> {
    this.#socket = socket;
    try {
      return await new Promise((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
        socket.on('data', (chunk) => this.#guard(() => this.#receive(chunk)));
        socket.on('end', () => this.#guard(() => this.#transportEnded()));
        socket.on('error', reject);
        this.#guard(() => {
          this.#perform(this.#connection.start());
          this.#startEarlyData();
        });
      });
    } finally {
      this.#connection.erase();
      await drain(socket);
    }
  }

  /** -async: every byte by itself. */
  #receive(chunk: Uint8Array): void {
    const step = this.#settings.has('async') ? 1 : chunk.length;
    for (let at = 0; at < chunk.length && !this.#ended; at += step) {
      this.#perform(this.#connection.receive(chunk.subarray(at, at + step)));
    }
  }

  #perform(actions: readonly Action[]): void {
    // What the core sealed first has to leave first, and echoes are sealed while the rest is looked at.
    for (const action of actions) {
      if (action.kind === 'send') {
        this.#socket.write(action.bytes);
      }
    }
    let need: Need | undefined;
    for (const action of actions) {
      if (action.kind === 'need') {
        need = action.need;
      } else if (!this.#ended) {
        this.#take(action);
      }
    }
    if (need !== undefined) {
      this.#answer(need);
    }
  }

  #take(action: Action): void {
    switch (action.kind) {
      case 'data':
      case 'earlyData':
        this.#echo(action.bytes);
        break;
      case 'handshakeComplete':
        this.#complete(action.summary);
        break;
      case 'earlyDataAccepted':
        this.#check(action.summary);
        this.#writeFirst();
        break;
      case 'earlyDataRejected':
        // Where that was not expected, the flags for this connection still are to find out.
        if (this.#settings.has('expect-reject-early-data')) {
          this.#settings = this.#retry;
          this.#toWriteFirst = INITIAL_WRITE;
        }
        break;
      case 'session':
        this.#session?.secret.erase();
        this.#session = action.session;
        break;
      case 'renegotiated':
        this.#renegotiations += 1;
        break;
      case 'echRejected':
        checkRetryConfigs(this.#settings, action.retryConfigs);
        break;
      case 'peerClosed':
        this.#peerClosed(true);
        break;
      case 'failed':
        throw action.error;
    }
  }

  #answer(need: Need): void {
    const connection = this.#connection;
    switch (need.kind) {
      case 'context':
        this.#perform(connection.resume(need, this.#context?.(need.clientHello)));
        break;
      case 'verifyCertificate':
        checkVerifiedName(this.#settings, need.serverName);
        this.#perform(connection.resume(need, judgeChain(this.#settings, need.chain)));
        break;
      case 'certificateStatus':
        this.#perform(connection.resume(need, stapleFor(this.#settings)));
        break;
      default:
        throw new Unexpected(`the need ${need.kind}`);
    }
  }

  /** A client that may write early takes the handshake to be complete for now, and looks at it again when it is. */
  #startEarlyData(): void {
    const room = this.#connection.role === 'client' ? this.#connection.earlyDataRoom : 0;
    if (room === 0) {
      return;
    }
    if (this.#settings.has('expect-no-offer-early-data')) {
      throw new Unexpected('early data was offered');
    }
    if (this.#settings.has('shim-writes-first')) {
      // What does not fit follows after the handshake.
      this.#toWriteFirst = INITIAL_WRITE.subarray(room);
      this.#perform(this.#connection.sendEarlyData(INITIAL_WRITE.subarray(0, room)));
    }
  }

  #complete(summary: HandshakeSummary): void {
    if (this.#settings.has('handshake-never-done')) {
      throw new Unexpected('the handshake is complete');
    }
    this.#check(summary);
    checkEarlyData(this.#settings, summary.earlyData);
    this.#export(summary);
    if (this.#settings.has('write-different-record-sizes')) {
      for (const size of RECORD_SIZES) {
        this.#send(new Uint8Array(size).fill(0x42));
      }
      this.#shutDown();
      return;
    }
    this.#writeFirst();
    if (this.#settings.has('shim-shuts-down')) {
      this.#shutDown();
    }
  }

  #check(summary: HandshakeSummary): void {
    checkHandshake(summary, {
      settings: this.#settings,
      isResumption: this.#isResumption,
      keptSession: this.#world.cached,
    });
  }

  #export(summary: HandshakeSummary): void {
    const settings = this.#settings;
    const length = settings.number('export-keying-material') ?? 0;
    if (length > 0) {
      const label = settings.text('export-label') ?? '';
      if (label === '' && summary.version === 'TLSv1.2') {
        throw new Unimplemented('exporters of TLS 1.2 without a label');
      }
      const context = settings.has('use-export-context') ? utf8(settings.text('export-context') ?? '') : undefined;
      this.#send(this.#connection.exportKeyingMaterial(label, context, length));
    }
    if (settings.has('tls-unique')) {
      this.#send(channelBinding('tls-unique', this.#connection, summary, () => undefined));
    }
  }

  #writeFirst(): void {
    const settings = this.#settings;
    const rest = this.#toWriteFirst;
    this.#unfinishedWrite = settings.has('read-with-unfinished-write') && rest.length > 0;
    if (settings.has('shim-writes-first') && !this.#unfinishedWrite && rest.length > 0) {
      this.#toWriteFirst = rest.subarray(rest.length);
      this.#send(rest);
    }
  }

  #echo(data: Uint8Array): void {
    const settings = this.#settings;
    if (settings.has('shim-shuts-down')) {
      throw new Unexpected('application data after close_notify');
    }
    if (this.#unfinishedWrite) {
      this.#unfinishedWrite = false;
      this.#send(INITIAL_WRITE);
    }
    if (settings.has('use-exporter-between-reads')) {
      this.#connection.exportKeyingMaterial('between reads', undefined, 1);
    }
    // As much at a time as the runner's own shim reads: some tests count records.
    for (let at = 0; at < data.length; at += READ_SIZE) {
      if (settings.has('key-update')) {
        this.#perform(this.#connection.updateKeys(false));
      }
      this.#send(data.subarray(at, at + READ_SIZE).map((byte) => byte ^ 0xff));
    }
  }

  #send(data: Uint8Array): void {
    this.#perform(this.#connection.send(data));
  }

  #shutDown(): void {
    if (!this.#settings.has('check-close-notify')) {
      this.#finish();
      return;
    }
    this.#perform(this.#connection.close());
  }

  #peerClosed(properly: boolean): void {
    if (this.#settings.has('check-close-notify')) {
      same('end by close_notify', properly, true);
      this.#perform(this.#connection.close());
    }
    this.#finish();
  }

  #transportEnded(): void {
    if (this.#ended) {
      return;
    }
    if (this.#connection.summary === undefined) {
      this.#perform(this.#connection.transportEnded());
    } else {
      this.#peerClosed(false);
    }
  }

  #finish(): void {
    const settings = this.#settings;
    const { summary } = this.#connection;
    if (summary?.role === 'client') {
      checkSession(settings, summary, this.#session);
    }
    same('renegotiations', this.#renegotiations, settings.number('expect-total-renegotiations') ?? 0);
    this.#ended = true;
    this.#resolve(this.#session);
  }

  #guard(body: () => void): void {
    if (this.#ended) {
      return;
    }
    try {
      body();
    } catch (error) {
      this.#ended = true;
      this.#reject(error);
    }
  }
}

/** Newer runners name the address family and the connection; older ones listen on whichever works. */
async function connectToRunner(settings: Settings): Promise<Socket> {
  const port = settings.number('port') ?? 0;
  const id = settings.text('shim-id');
  if (id === undefined && !settings.has('ipv6')) {
    return connectTo('::1', port).catch(() => connectTo('127.0.0.1', port));
  }
  const socket = await connectTo(settings.has('ipv6') ? '::1' : '127.0.0.1', port);
  if (id !== undefined) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(id));
    socket.write(bytes);
  }
  return socket;
}

function connectTo(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true, allowHalfOpen: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

/** Ends our side and reads the rest: bytes left unread would reset the connection, and the runner lose our alert. */
function drain(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.removeAllListeners('data').removeAllListeners('end').removeAllListeners('error');
    socket.on('error', () => {});
    const timer = setTimeout(() => socket.destroy(), PATIENCE);
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    socket.on('close', done);
    socket.on('end', () => socket.destroy());
    socket.resume();
    socket.end();
    if (socket.readableEnded || socket.destroyed) {
      socket.destroy();
      done();
    }
  });
}

/** Milliseconds for a runner that keeps its side open. */
const PATIENCE = 2_000;
const READ_SIZE = 512;
const RECORD_SIZES = [1, 255, 256, 257, 16383, 16384, 16385, 32767, 32768, 32769];
