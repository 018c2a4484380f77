/**
 * A server with Encrypted Client Hello, for tests: a library opens the hellos, the confirmations are computed with node:crypto
 * alone, and what is said, and to which of the two hellos, is up to the test. RFC 9849 §7.
 */

import assert from 'node:assert/strict';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { Aes128Gcm, CipherSuite, HkdfSha256, type RecipientContext } from '@hpke/core';
import { DhkemX25519HkdfSha256 } from '@hpke/dhkem-x25519';
import { concat, fromHex, utf8 } from '../../src/bytes/bytes.ts';
import { Reader } from '../../src/bytes/reader.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { Writer } from '../../src/bytes/writer.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import { cipherSuites } from '../../src/crypto/suites.ts';
import { finishedVerifyData } from '../../src/keys/finished.ts';
import { TrafficSecret } from '../../src/keys/traffic.ts';
import { encodeCertificate } from '../../src/messages/certificate.ts';
import { certificateVerifyContent, encodeCertificateVerify } from '../../src/messages/certificate-verify.ts';
import { type ClientHello, decodeClientHello } from '../../src/messages/client-hello.ts';
import { encodeEncryptedExtensions } from '../../src/messages/encrypted-extensions.ts';
import { encodeFinished } from '../../src/messages/finished.ts';
import { encodeServerHello, HELLO_RETRY_REQUEST_RANDOM } from '../../src/messages/server-hello.ts';
import type { Endpoint } from './connections.ts';
import { Puppet } from './puppet.ts';

const library = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes128Gcm() });
type PrivateKey = Awaited<ReturnType<typeof library.kem.generateKeyPair>>['privateKey'];
const exact = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer as ArrayBuffer;

export interface ConfigOptions {
  readonly version?: number;
  readonly kem?: number;
  readonly kdf?: number;
  readonly aead?: number;
  readonly configId?: number;
  readonly maximumNameLength?: number;
  readonly publicName?: string;
  readonly extensions?: Uint8Array;
}

/** One ECHConfig (RFC 9849 §4). */
export function encodeEchConfig(publicKey: Uint8Array, options: ConfigOptions = {}): Uint8Array {
  const contents = new Writer(128)
    .u8(options.configId ?? 7)
    .u16(options.kem ?? 0x0020)
    .vector16(publicKey)
    .u16(4)
    .u16(options.kdf ?? 1)
    .u16(options.aead ?? 1)
    .u8(options.maximumNameLength ?? 32)
    .vector8(utf8(options.publicName ?? 'public.example'))
    .vector16(options.extensions ?? new Uint8Array(0))
    .finish();
  return new Writer(256)
    .u16(options.version ?? 0xfe0d)
    .vector16(contents)
    .finish();
}

export function encodeEchConfigList(...configs: readonly Uint8Array[]): Uint8Array {
  return new Writer(512).vector16(concat(...configs)).finish();
}

/** The two hellos that one message was. */
export interface OpenedHello {
  readonly outerRaw: Uint8Array;
  readonly outer: ClientHello;
  readonly innerRaw: Uint8Array;
  readonly inner: ClientHello;
  /** Bytes, with the tag. */
  readonly payloadLength: number;
}

export class EchServer {
  readonly config: Uint8Array;
  readonly configList: Uint8Array;
  readonly #privateKey: PrivateKey;
  #context: RecipientContext | undefined;

  private constructor(config: Uint8Array, privateKey: PrivateKey) {
    this.config = config;
    this.configList = encodeEchConfigList(config);
    this.#privateKey = privateKey;
  }

  static async create(options: ConfigOptions = {}): Promise<EchServer> {
    const keys = await library.kem.generateKeyPair();
    const publicKey = new Uint8Array(await library.kem.serializePublicKey(keys.publicKey));
    return new EchServer(encodeEchConfig(publicKey, options), keys.privateKey);
  }

  /** A first hello, or one that goes on with the context of the first. */
  async open(outerRaw: Uint8Array): Promise<OpenedHello> {
    const outer = decodeClientHello(outerRaw.subarray(4));
    const { at, data } = extensionsOf(outerRaw).find(({ type }) => type === 0xfe0d) ?? assert.fail('no ECH extension');
    const reader = new Reader(data, 'outer');
    assert.deepEqual([reader.u8('type'), reader.u16('kdf'), reader.u16('aead'), reader.u8('config_id')], [0, 1, 1, 7]);
    const enc = reader.vector16('enc');
    const payload = reader.vector16('payload');
    reader.end();
    if (enc.length > 0) {
      const info = exact(concat(utf8('tls ech\0'), this.config));
      this.#context = await library.createRecipientContext({ recipientKey: this.#privateKey, enc: exact(enc), info });
    }
    assert(this.#context !== undefined);
    const aad = outerRaw.slice(4);
    const end = at - 4 + data.length;
    aad.fill(0, end - payload.length, end);
    const encoded = new Uint8Array(await this.#context.open(exact(payload), exact(aad)));
    const innerRaw = expand(encoded, outerRaw, outer);
    return { outerRaw, outer, innerRaw, inner: decodeClientHello(innerRaw.subarray(4)), payloadLength: payload.length };
  }
}

/** EncodedClientHelloInner to ClientHelloInner (RFC 9849 §5.1). */
function expand(encoded: Uint8Array, outerRaw: Uint8Array, outer: ClientHello): Uint8Array {
  const reader = new Reader(encoded, 'EncodedClientHelloInner');
  const writer = new Writer(1024).bytes(reader.bytes(34, 'version, random'));
  assert.equal(reader.vector8('legacy_session_id').length, 0);
  writer.vector8(outer.legacySessionId);
  writer.vector16(reader.vector16('cipher_suites')).vector8(reader.vector8('compression'));
  const block = writer.open(2);
  const extensions = reader.nested16('extensions');
  assert(
    reader.rest().every((byte) => byte === 0),
    'the padding is of zeros',
  );
  const theirs = extensionsOf(outerRaw);
  let from = 0;
  while (extensions.remaining > 0) {
    const type = extensions.u16('type');
    const data = extensions.vector16('data');
    if (type !== 0xfd00) {
      writer.u16(type).vector16(data);
      continue;
    }
    const list = new Reader(data, 'ech_outer_extensions').nested8('types', 2);
    while (list.remaining > 0) {
      const wanted = list.u16('type');
      assert.notEqual(wanted, 0xfe0d);
      const found = theirs.findIndex((extension, index) => index >= from && extension.type === wanted);
      assert(found >= 0, 'what is referred to stands in the outer hello, in the same order');
      from = found + 1;
      writer.u16(wanted).vector16(theirs[found].data);
    }
  }
  const body = writer.close(block, 2).finish();
  return concat(Uint8Array.of(1, 0, body.length >>> 8, body.length & 0xff), body);
}

/** `at`: where extension_data begins in the message. */
export function extensionsOf(raw: Uint8Array): { type: number; data: Uint8Array; at: number }[] {
  const reader = new Reader(raw, 'ClientHello', 4);
  reader.bytes(34, 'version, random');
  reader.vector8('session id');
  reader.vector16('cipher_suites');
  reader.vector8('compression');
  const extensions = reader.nested16('extensions');
  const found: { type: number; data: Uint8Array; at: number }[] = [];
  while (extensions.remaining > 0) {
    const type = extensions.u16('type');
    const data = extensions.vector16('data');
    found.push({ type, data, at: raw.length - extensions.remaining - data.length });
  }
  return found;
}

/** One handshake with a client, in which the test says what the server does. */
export class EchConversation {
  readonly client: Endpoint;
  readonly puppet: Puppet;
  readonly #ears: Puppet;
  /** What has been said, by the hello that the server goes on with. */
  #inner: Uint8Array[] = [];
  #outer: Uint8Array[] = [];
  #accepts = true;
  #innerRandom: Uint8Array = new Uint8Array(32);
  #sessionId: Uint8Array = new Uint8Array(0);

  constructor(client: Endpoint) {
    this.client = client;
    this.puppet = new Puppet(client.keyLog);
    this.#ears = new Puppet(client.keyLog);
  }

  /** The last hello, whole. */
  hear(): Uint8Array {
    this.#ears.read(this.client.flush());
    return this.#ears.messages.filter(({ name }) => name === 'client_hello').at(-1)?.raw ?? assert.fail('no hello');
  }

  async start(server: EchServer): Promise<OpenedHello> {
    this.client.start();
    return this.next(server);
  }

  async next(server: EchServer): Promise<OpenedHello> {
    const opened = await server.open(this.hear());
    this.#inner.push(opened.innerRaw);
    this.#outer.push(opened.outerRaw);
    this.#innerRandom = opened.inner.random;
    this.#sessionId = opened.outer.legacySessionId;
    return opened;
  }

  /** The second outer hello of a client that was refused. */
  nextOuter(): ClientHello {
    const raw = this.hear();
    this.#outer.push(raw);
    const hello = decodeClientHello(raw.subarray(4));
    this.#sessionId = hello.legacySessionId;
    return hello;
  }

  /** A HelloRetryRequest for secp256r1; `confirmation`: as it should be, or these bytes, or none. */
  retry(confirmation: 'right' | Uint8Array | undefined): this {
    this.#accepts = confirmation === 'right';
    const make = (bytes: Uint8Array | undefined): Uint8Array =>
      this.#hello(HELLO_RETRY_REQUEST_RANDOM, {
        selectedGroup: 0x0017,
        ...(bytes !== undefined && { echConfirmation: bytes }),
      });
    const digest = (first: Uint8Array): Uint8Array => concat(Uint8Array.of(254, 0, 0, 32), sha256(first));
    this.#inner = this.#inner.slice(0, 1).map(digest);
    this.#outer = [digest(this.#outer[0])];
    const right = () => this.#confirmation('hrr ech accept confirmation', make(new Uint8Array(8)));
    const raw = make(confirmation === 'right' ? right() : confirmation);
    this.#say(raw);
    return this;
  }

  /** ServerHello; with a confirmation, it answers the inner hello. */
  greet({
    accepts,
    group = 'x25519',
    selectedIdentity,
  }: {
    accepts: boolean;
    group?: 'x25519' | 'secp256r1';
    selectedIdentity?: number;
  }): this {
    this.#accepts = accepts;
    const random = new Uint8Array(randomBytes(32));
    const pair = nodeProvider.generateKeyShare(group);
    const keyShare = { group: group === 'x25519' ? 0x001d : 0x0017, keyExchange: new Uint8Array(pair.publicKey) };
    pair.erase();
    const extensions = { keyShare, ...(selectedIdentity !== undefined && { selectedIdentity }) };
    if (accepts) {
      random.fill(0, 24);
      random.set(this.#confirmation('ech accept confirmation', this.#hello(random, extensions)), 24);
    }
    this.#say(this.#hello(random, extensions));
    if (!this.client.over) {
      this.puppet.writeWith('SERVER_HANDSHAKE_TRAFFIC_SECRET').readWith('CLIENT_HANDSHAKE_TRAFFIC_SECRET');
    }
    return this;
  }

  /** EncryptedExtensions to Finished. */
  finish({
    retryConfigs,
    before = [],
    tamper = (raw) => raw,
  }: {
    retryConfigs?: Uint8Array;
    before?: readonly Uint8Array[];
    tamper?: (raw: Uint8Array) => Uint8Array;
  } = {}): this {
    const { credential } = this.client.world.identity;
    assert(credential.privateKey !== undefined);
    this.#say(
      encodeEncryptedExtensions({ extensions: retryConfigs === undefined ? {} : { echRetryConfigs: retryConfigs } }),
    );
    for (const message of before) {
      this.#say(message);
    }
    const entries = credential.certificateChain.map((certificate) => ({ certificate, extensions: {} }));
    this.#say(encodeCertificate({ requestContext: new Uint8Array(0), entries }));
    const content = certificateVerifyContent('server', this.#digest());
    const signature = nodeProvider.sign('ed25519', credential.privateKey, content);
    this.#say(encodeCertificateVerify({ scheme: 0x0807, signature }));
    const secret = this.#serverSecret();
    const verifyData = finishedVerifyData(nodeProvider, secret, this.#digest());
    secret.erase();
    this.#say(tamper(encodeFinished({ verifyData })));
    return this;
  }

  /** Reads what the client says at the end. */
  listen(): this {
    this.puppet.read(this.client.flush(), { afterFinished: 'CLIENT_TRAFFIC_SECRET_0' });
    return this;
  }

  end(): void {
    this.client.forget();
    this.puppet.erase();
    this.#ears.erase();
  }

  #say(raw: Uint8Array): void {
    if (this.client.over) {
      return;
    }
    this.#inner.push(raw);
    this.#outer.push(raw);
    this.client.receive(this.puppet.handshake(raw));
  }

  #hello(random: Uint8Array, extensions: Record<string, unknown>): Uint8Array {
    return encodeServerHello({
      legacyVersion: 0x0303,
      random,
      legacySessionIdEcho: this.#sessionId,
      cipherSuite: cipherSuites.TLS_AES_128_GCM_SHA256.code,
      compressionMethod: 0,
      extensions: { supportedVersion: 0x0304, ...extensions },
    });
  }

  #digest(): Uint8Array {
    return sha256(concat(...(this.#accepts ? this.#inner : this.#outer)));
  }

  #confirmation(label: string, message: Uint8Array): Uint8Array {
    const prk = createHmac('sha256', new Uint8Array(32)).update(this.#innerRandom).digest();
    const hash = sha256(concat(...this.#inner, message));
    const name = utf8(`tls13 ${label}`);
    const info = concat(Uint8Array.of(0, 8, name.length), name, Uint8Array.of(hash.length), hash, Uint8Array.of(1));
    return new Uint8Array(createHmac('sha256', prk).update(info).digest().subarray(0, 8));
  }

  #serverSecret(): TrafficSecret {
    const kind = 'SERVER_HANDSHAKE_TRAFFIC_SECRET';
    const hex = this.client.keyLog.get(kind) ?? assert.fail('no key log');
    return new TrafficSecret(nodeProvider, cipherSuites.TLS_AES_128_GCM_SHA256, kind, Secret.take(kind, fromHex(hex)));
  }
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}
