/**
 * A peer without scruples: it takes part in a real handshake with keys from the other side's key log, and sends whatever
 * a test wants in whatever state.
 */

import assert from 'node:assert/strict';
import { alertName } from '../../src/alerts.ts';
import { concat, fromHex } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { AeadKey } from '../../src/crypto/provider.ts';
import { type CipherSuite, cipherSuites } from '../../src/crypto/suites.ts';
import { RecordChannel } from '../../src/handshake/record-channel.ts';
import { TrafficSecret, type TrafficSecretLabel } from '../../src/keys/traffic.ts';
import { handshakeTypeName } from '../../src/messages/code-points.ts';
import type { RecordBoundary } from '../../src/messages/message-joiner.ts';
import { CONTENT_ALERT, CONTENT_APPLICATION_DATA, CONTENT_HANDSHAKE } from '../../src/record/limits.ts';

const LABELS: Record<string, TrafficSecretLabel> = {
  CLIENT_EARLY_TRAFFIC_SECRET: 'CLIENT_EARLY_TRAFFIC_SECRET',
  CLIENT_HANDSHAKE_TRAFFIC_SECRET: 'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
  SERVER_HANDSHAKE_TRAFFIC_SECRET: 'SERVER_HANDSHAKE_TRAFFIC_SECRET',
  CLIENT_TRAFFIC_SECRET_0: 'CLIENT_TRAFFIC_SECRET',
  SERVER_TRAFFIC_SECRET_0: 'SERVER_TRAFFIC_SECRET',
};

export interface Message {
  readonly name: string;
  readonly raw: Uint8Array;
}

/** One direction's view: reads what a real endpoint sends, writes what the test likes. */
export class Puppet {
  readonly channel: RecordChannel;
  readonly #keyLog: ReadonlyMap<string, string>;
  readonly #suite: CipherSuite;
  #sealer: Sealer | undefined;
  #writeSecret: TrafficSecret | undefined;
  readonly messages: Message[] = [];
  /** Names of alerts received, with how they came. */
  readonly alerts: string[] = [];
  data: Uint8Array = new Uint8Array(0);
  #readLabel: string | undefined;

  constructor(keyLog: ReadonlyMap<string, string>, suite: CipherSuite = cipherSuites.TLS_AES_128_GCM_SHA256) {
    this.#keyLog = keyLog;
    this.#suite = suite;
    this.channel = new RecordChannel({
      provider: nodeProvider,
      role: 'client',
      usageLimit: undefined,
      allocate: undefined,
    });
    this.channel.allowChangeCipherSpec(true);
  }

  /** The key that is read with. */
  get reads(): string {
    return this.#readLabel ?? 'plaintext';
  }

  // Writing

  writeWith(label: string): this {
    return this.#sealWith(this.#secret(label));
  }

  /** On to the next generation, as after a KeyUpdate. */
  updateWrite(): this {
    assert(this.#writeSecret !== undefined);
    return this.#sealWith(this.#writeSecret.next());
  }

  #sealWith(secret: TrafficSecret): this {
    this.#writeSecret?.erase();
    this.#writeSecret = secret;
    this.#sealer?.erase();
    this.#sealer = new Sealer(secret);
    return this;
  }

  /** A record of this type under the current key, or in the clear before there is one. */
  record(type: number, content: Uint8Array, padding = 0): Uint8Array {
    return this.#sealer === undefined ? plaintext(type, content) : this.#sealer.seal(type, content, padding);
  }

  handshake(...messages: readonly Uint8Array[]): Uint8Array {
    return this.record(CONTENT_HANDSHAKE, concat(...messages));
  }

  // Reading

  readWith(label: string): this {
    this.#readLabel = label;
    this.channel.protectRead(this.#secret(label), {} as RecordBoundary);
    return this;
  }

  /** Reads what an endpoint sent; `keys` are changed to after ServerHello and Finished. */
  read(bytes: Uint8Array, keys: { afterServerHello?: string; afterFinished?: string } = {}): this {
    this.channel.deframer.lend(new Uint8Array(bytes));
    for (let record = this.channel.nextRecord(); record !== undefined; record = this.channel.nextRecord()) {
      if (record.type === CONTENT_ALERT) {
        this.alerts.push(`${alertName(record.content[1])} under ${this.reads}`);
      } else if (record.type === CONTENT_APPLICATION_DATA) {
        this.data = concat(this.data, record.content);
      } else {
        this.channel.joiner.add(new Uint8Array(record.content));
        for (let next = this.channel.joiner.next(); next !== undefined; next = this.channel.joiner.next()) {
          const name = handshakeTypeName(next.type) ?? `type ${next.type}`;
          this.messages.push({ name, raw: new Uint8Array(next.raw) });
          if (name === 'key_update') {
            this.channel.updateRead({} as RecordBoundary);
          }
          if (name === 'server_hello' && keys.afterServerHello !== undefined) {
            this.readWith(keys.afterServerHello);
          }
          if (name === 'finished' && keys.afterFinished !== undefined) {
            this.readWith(keys.afterFinished);
          }
        }
      }
    }
    this.channel.deframer.retain();
    return this;
  }

  message(name: string): Uint8Array {
    const found = this.messages.find((message) => message.name === name);
    assert(found !== undefined, `there is a ${name} among ${this.messages.map((message) => message.name)}`);
    return found.raw;
  }

  erase(): void {
    this.channel.erase('test over');
    this.#sealer?.erase();
    this.#writeSecret?.erase();
  }

  #secret(label: string): TrafficSecret {
    const hex = this.#keyLog.get(label);
    assert(hex !== undefined, `${label} is in the key log`);
    const name = LABELS[label];
    return new TrafficSecret(nodeProvider, this.#suite, name, Secret.take(name, fromHex(hex)));
  }
}

export function plaintext(type: number, content: Uint8Array, version = 0x0303): Uint8Array {
  return concat(
    new Uint8Array([type, version >>> 8, version & 0xff, content.length >>> 8, content.length & 0xff]),
    content,
  );
}

/** Seals any content with any type, padding and length: the record layer under test would refuse to. */
class Sealer {
  readonly #aead: AeadKey;
  readonly #iv: Uint8Array;
  #sequenceNumber = 0;

  constructor(secret: TrafficSecret) {
    const { writeKey, writeIv } = secret.trafficKeys();
    this.#aead = nodeProvider.aead(secret.suite.aead, writeKey.expose());
    this.#iv = new Uint8Array(writeIv.expose());
    writeKey.erase();
    writeIv.erase();
  }

  seal(type: number, content: Uint8Array, padding: number): Uint8Array {
    const inner = new Uint8Array(content.length + 1 + padding);
    inner.set(content);
    inner[content.length] = type;
    const length = inner.length + 16;
    const out = new Uint8Array(5 + length);
    out.set([CONTENT_APPLICATION_DATA, 3, 3, length >>> 8, length]);
    const nonce = new Uint8Array(this.#iv);
    const view = new DataView(nonce.buffer);
    view.setUint32(8, view.getUint32(8) ^ this.#sequenceNumber++);
    this.#aead.seal(nonce, out.slice(0, 5), inner, out, 5);
    return out;
  }

  erase(): void {
    this.#aead.erase();
  }
}
