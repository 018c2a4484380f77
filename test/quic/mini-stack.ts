/**
 * A QUIC stack of one connection with nothing but what shows that the handshake and the keys are right: packets, CRYPTO
 * streams, acknowledgements, streams without flow control. It sends nothing twice, so it wants a transport that loses
 * nothing.
 *
 * RFC 9000 §17, RFC 9001 §4, §5, §6.
 */

import assert from 'node:assert/strict';
import { concat } from '../../src/bytes/bytes.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CipherSuiteName } from '../../src/crypto/suites.ts';
import {
  QUIC_INITIAL_SUITE,
  type QuicAction,
  QuicHandshake,
  QuicPacketProtection,
  type QuicVersion,
  quicInitialSecrets,
  quicRetryIntegrityTag,
} from '../../src/quic.ts';
import type { ClientSession13 } from '../../src/session/client-session.ts';
import type { World } from '../support/connections.ts';
import {
  ackFrame,
  closeFrame,
  cryptoFrame,
  type Frame,
  FrameReader,
  HANDSHAKE_DONE,
  readTransportParameters,
  streamFrame,
  transportParameters,
} from './frames.ts';
import { LEVELS, type Level, packetHeader, packetTypes, Space, TAG_LENGTH } from './packet-spaces.ts';
import { QuicEndpoint } from './support.ts';

const CHUNK = 1000;
const MIN_DATAGRAM = 1200;

export interface MiniStackOptions {
  readonly role: 'client' | 'server';
  readonly world: World;
  readonly alpnProtocols?: readonly string[];
  readonly version?: QuicVersion;
  readonly session?: ClientSession13;
  readonly cipherSuites?: readonly CipherSuiteName[];
}

export class MiniStack {
  readonly role: 'client' | 'server';
  readonly version: QuicVersion;
  readonly ownId: Uint8Array = randomBytes(8);
  readonly received = new Map<number, Uint8Array[]>();
  readonly finished = new Set<number>();
  endpoint: QuicEndpoint | undefined;
  handshakeDone = false;
  closed: { readonly code: number; readonly reason: string } | undefined;
  keyUpdates = 0;
  retried = false;
  peerParameters: ReadonlyMap<number, Uint8Array> = new Map();
  readonly #options: MiniStackOptions;
  readonly #spaces: Record<Level, Space> = { initial: new Space(), handshake: new Space(), application: new Space() };
  #peerId: Uint8Array = randomBytes(8);
  #token: Uint8Array = new Uint8Array(0);
  #early: Uint8Array[] = [];
  #keyPhase = 0;
  readonly #taken = new Set<QuicAction>();

  constructor(options: MiniStackOptions) {
    this.#options = options;
    this.role = options.role;
    this.version = options.version ?? 1;
    if (options.role === 'client') {
      this.#setInitialKeys(this.#peerId);
      this.#begin(transportParameters([...LIMITS, [0x0f, this.ownId]]));
    }
  }

  start(): Uint8Array[] {
    this.#endpoint.start();
    this.#takeActions();
    return this.#flush();
  }

  get complete(): boolean {
    return this.endpoint?.summary !== undefined;
  }

  /** All that came of this stream so far. */
  stream(id: number): Uint8Array {
    return concat(...(this.received.get(id) ?? []));
  }

  send(id: number, data: Uint8Array, fin = true): Uint8Array[] {
    assert.ok(this.complete);
    this.#spaces.application.frames.push(streamFrame(id, data, fin));
    return this.#flush();
  }

  /** Begins a key update (RFC 9001 §6.1). */
  updateKeys(): void {
    const { application } = this.#spaces;
    assert.ok(application.write !== undefined && application.read !== undefined);
    const [write, read] = [application.write.next(), application.read.next()];
    application.erase();
    application.write = write;
    application.read = read;
    this.#keyPhase ^= 1;
    this.keyUpdates += 1;
  }

  /** Takes a datagram; returns those to send. */
  receive(datagram: Uint8Array): Uint8Array[] {
    for (let at = 0; at < datagram.length && this.closed === undefined; ) {
      at += this.#packet(datagram.subarray(at));
    }
    this.#retryEarly();
    return this.#flush();
  }

  forget(): void {
    for (const level of LEVELS) {
      this.#spaces[level].erase();
    }
    this.endpoint?.forget();
  }

  get #endpoint(): QuicEndpoint {
    assert.ok(this.endpoint !== undefined);
    return this.endpoint;
  }

  #begin(parameters: Uint8Array): void {
    const { world, alpnProtocols = ['h3'], session, cipherSuites } = this.#options;
    const common = { provider: nodeProvider, now: world.now, transportParameters: parameters, cipherSuites };
    const handshake =
      this.role === 'client'
        ? QuicHandshake.client({ ...common, serverName: 'localhost', alpnProtocols, session })
        : QuicHandshake.server({ ...common, context: world.context });
    this.endpoint = new QuicEndpoint(handshake, world);
  }

  #setInitialKeys(destinationConnectionId: Uint8Array): void {
    const secrets = quicInitialSecrets(nodeProvider, destinationConnectionId, this.version);
    const [read, write] = this.role === 'client' ? [secrets.server, secrets.client] : [secrets.client, secrets.server];
    const { initial } = this.#spaces;
    initial.erase();
    const options = { provider: nodeProvider, suite: QUIC_INITIAL_SUITE, version: this.version };
    initial.read = new QuicPacketProtection({ ...options, secret: read });
    initial.write = new QuicPacketProtection({ ...options, secret: write });
    read.erase();
    write.erase();
  }

  /** One packet of a datagram; returns its length. */
  #packet(bytes: Uint8Array): number {
    if ((bytes[0] & 0x80) === 0) {
      this.#open('application', bytes, 1 + this.ownId.length);
      return bytes.length;
    }
    const reader = new FrameReader(bytes);
    reader.bytes(5);
    const destination = reader.bytes(reader.bytes(1)[0]);
    const source = reader.bytes(reader.bytes(1)[0]);
    const type = (bytes[0] >> 4) & 3;
    const types = packetTypes[this.version];
    if (type === types.retry) {
      this.#onRetry(bytes, source, reader.bytes(bytes.length - reader.at - TAG_LENGTH));
      return bytes.length;
    }
    const level = type === types.initial ? 'initial' : 'handshake';
    if (level === 'initial') {
      reader.bytes(reader.varint());
    }
    const length = reader.varint();
    const end = reader.at + length;
    if (this.role === 'server' && this.endpoint === undefined) {
      this.#setInitialKeys(destination);
      this.#begin(transportParameters([...LIMITS, [0x00, destination], [0x0f, this.ownId]]));
    }
    if (this.#open(level, bytes.subarray(0, end), reader.at)) {
      this.#peerId = source;
    }
    return end;
  }

  #onRetry(packet: Uint8Array, source: Uint8Array, token: Uint8Array): void {
    if (this.retried) {
      // Each of our datagrams may have got one: the first counts (RFC 9000 §17.2.5.2).
      return;
    }
    const { initial } = this.#spaces;
    const tag = quicRetryIntegrityTag(nodeProvider, this.#peerId, packet.subarray(0, -TAG_LENGTH), this.version);
    assert.deepEqual(tag, packet.slice(-TAG_LENGTH), 'the Retry is genuine');
    this.retried = true;
    this.#token = token;
    this.#peerId = source;
    this.#setInitialKeys(source);
    // All of it once more; packet numbers go on.
    initial.cryptoSent = 0;
    initial.cryptoOut = this.#endpoint.actions.flatMap((action) =>
      action.kind === 'handshakeBytes' ? [action.bytes] : [],
    );
  }

  #open(level: Level, packet: Uint8Array, numberAt: number): boolean {
    const space = this.#spaces[level];
    if (space.read === undefined) {
      this.#early.push(packet);
      return false;
    }
    let opened = space.read.open(packet, numberAt, space.largest);
    if (opened === undefined && level === 'application' && this.complete) {
      const next = space.read.next();
      opened = next.open(packet, numberAt, space.largest);
      next.erase();
      if (opened !== undefined) {
        this.updateKeys();
      }
    }
    if (opened === undefined) {
      return false;
    }
    assert.equal(opened.header[0] & (level === 'application' ? 0x18 : 0x0c), 0, 'reserved bits are zero');
    space.largest = Math.max(space.largest, opened.packetNumber);
    space.received.add(opened.packetNumber);
    for (const reader = new FrameReader(opened.payload); !reader.done; ) {
      const frame = reader.frame();
      space.ackDue ||= !['padding', 'ack', 'close'].includes(frame.kind);
      this.#onFrame(level, frame);
    }
    return true;
  }

  #onFrame(level: Level, frame: Frame): void {
    switch (frame.kind) {
      case 'crypto':
        this.#onCrypto(level, frame.offset, frame.data);
        break;
      case 'stream': {
        const chunks = this.received.get(frame.id) ?? [];
        chunks.push(frame.data);
        this.received.set(frame.id, chunks);
        if (frame.fin) {
          this.finished.add(frame.id);
        }
        break;
      }
      case 'close':
        this.closed = frame;
        break;
      case 'handshakeDone':
        this.handshakeDone = true;
        this.#spaces.handshake.discarding = true;
        break;
    }
  }

  /** In order, and each byte once: a QUIC stack's part of the bargain. */
  #onCrypto(level: Level, offset: number, data: Uint8Array): void {
    const space = this.#spaces[level];
    space.cryptoIn.set(offset, data);
    for (;;) {
      const [next] = [...space.cryptoIn].filter(([start]) => start <= space.cryptoRead);
      if (next === undefined) {
        return;
      }
      const [start, bytes] = next;
      space.cryptoIn.delete(start);
      const fresh = bytes.subarray(space.cryptoRead - start);
      if (fresh.length > 0) {
        space.cryptoRead += fresh.length;
        this.#endpoint.receive(level, fresh);
        this.#takeActions();
      }
    }
  }

  #takeActions(): void {
    for (const action of this.#endpoint.actions) {
      if (this.#taken.has(action)) {
        continue;
      }
      this.#taken.add(action);
      switch (action.kind) {
        case 'handshakeBytes':
          this.#spaces[action.level as Level].cryptoOut.push(action.bytes);
          break;
        case 'secrets': {
          const { suite, secret } = action;
          this.#spaces[action.level as Level][action.direction] = new QuicPacketProtection({
            provider: nodeProvider,
            suite,
            secret,
            version: this.version,
          });
          break;
        }
        case 'discardKeys':
          this.#spaces[action.level as Level].discarding = true;
          break;
        case 'transportParameters':
          this.peerParameters = readTransportParameters(action.bytes);
          break;
        case 'handshakeComplete':
          if (this.role === 'server') {
            this.handshakeDone = true;
            this.#spaces.application.frames.push(HANDSHAKE_DONE);
          }
          break;
        case 'failed': {
          const level = LEVELS.findLast((candidate) => this.#spaces[candidate].write !== undefined) as Level;
          this.#spaces[level].frames.push(closeFrame(action.quicErrorCode));
        }
      }
    }
  }

  #retryEarly(): void {
    const waiting = this.#early;
    this.#early = [];
    for (const packet of waiting) {
      this.#packet(packet);
    }
  }

  #flush(): Uint8Array[] {
    const datagrams: Uint8Array[] = [];
    for (const level of LEVELS) {
      const space = this.#spaces[level];
      while (space.due && space.write !== undefined) {
        datagrams.push(this.#seal(level, space));
      }
      if (space.discarding) {
        space.erase();
      }
    }
    return datagrams;
  }

  #seal(level: Level, space: Space): Uint8Array {
    const frames: Uint8Array[] = [];
    if (space.ackDue) {
      frames.push(ackFrame(space.received));
      space.ackDue = false;
    }
    const crypto = concat(...space.cryptoOut);
    if (crypto.length > 0) {
      const data = crypto.subarray(0, CHUNK);
      frames.push(cryptoFrame(space.cryptoSent, data));
      space.cryptoSent += data.length;
      space.cryptoOut = crypto.length > CHUNK ? [crypto.subarray(CHUNK)] : [];
    }
    frames.push(...space.frames);
    space.frames = [];
    const number = space.nextNumber++;
    const content = concat(...frames);
    const payload = new Uint8Array(Math.max(content.length, level === 'initial' ? MIN_DATAGRAM - 40 : 4));
    payload.set(content);
    const header = packetHeader({
      level,
      version: this.version,
      packetNumber: number,
      payloadLength: payload.length,
      source: this.ownId,
      destination: this.#peerId,
      token: this.#token,
      keyPhase: this.#keyPhase,
    });
    return (space.write as QuicPacketProtection).seal(number, header, payload);
  }
}

/** initial_max_data, …_stream_data of all kinds, …_streams: enough for a test to need no MAX_DATA. */
const LIMITS: readonly (readonly [number, number])[] = [
  [0x04, 2 ** 20],
  [0x05, 2 ** 18],
  [0x06, 2 ** 18],
  [0x07, 2 ** 18],
  [0x08, 100],
  [0x09, 100],
];

function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  nodeProvider.random(bytes);
  return bytes;
}
