/**
 * Records what two TCP peers say into a capture file, without rights to the network: a relay notes the bytes, and the
 * packets around them are made up. The format is libpcap's, link type LINKTYPE_RAW (IPv4).
 */

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

interface Segment {
  readonly fromClient: boolean;
  readonly bytes: Buffer;
}

/** Passes one connection at a time on to a port, and keeps all that went by. */
export class CapturingRelay {
  readonly #segments: Segment[] = [];
  readonly #server: Server;
  port = 0;

  private constructor(target: number) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      const server = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
      this.#pass(client, server, true);
      this.#pass(server, client, false);
    });
  }

  static async start(target: number): Promise<CapturingRelay> {
    const relay = new CapturingRelay(target);
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    relay.port = (relay.#server.address() as { port: number }).port;
    return relay;
  }

  stop(): void {
    this.#server.close();
  }

  /** The capture file. To a reader it was a connection from port 50000 to port 443. */
  pcap(): Buffer {
    const header = Buffer.alloc(24);
    header.writeUInt32LE(0xa1b2c3d4, 0);
    header.writeUInt16LE(2, 4);
    header.writeUInt16LE(4, 6);
    header.writeUInt32LE(0xffff, 16);
    header.writeUInt32LE(LINKTYPE_RAW, 20);
    const next = { client: 1_001, server: 2_001 };
    const packets = [
      packet({ fromClient: true, flags: SYN, sequence: 1_000, acknowledged: 0 }),
      packet({ fromClient: false, flags: SYN | ACK, sequence: 2_000, acknowledged: 1_001 }),
    ];
    for (const { fromClient, bytes } of this.#segments) {
      for (let at = 0; at < bytes.length; at += MOST) {
        const payload = bytes.subarray(at, at + MOST);
        const [own, other] = fromClient ? (['client', 'server'] as const) : (['server', 'client'] as const);
        packets.push(packet({ fromClient, flags: ACK | PSH, sequence: next[own], acknowledged: next[other], payload }));
        next[own] += payload.length;
      }
    }
    const records = packets.map((bytes, i) => {
      const record = Buffer.alloc(16);
      record.writeUInt32LE(1_750_000_000, 0);
      record.writeUInt32LE(i, 4);
      record.writeUInt32LE(bytes.length, 8);
      record.writeUInt32LE(bytes.length, 12);
      return Buffer.concat([record, bytes]);
    });
    return Buffer.concat([header, ...records]);
  }

  #pass(from: Socket, to: Socket, fromClient: boolean): void {
    from.on('data', (bytes: Buffer) => {
      this.#segments.push({ fromClient, bytes });
      to.write(bytes);
    });
    from.on('end', () => to.end());
    from.on('error', () => to.destroy());
  }
}

interface Packet {
  readonly fromClient: boolean;
  readonly flags: number;
  readonly sequence: number;
  readonly acknowledged: number;
  readonly payload?: Buffer;
}

/** Without checksums, which readers do not ask for by default. */
function packet({ fromClient, flags, sequence, acknowledged, payload = Buffer.alloc(0) }: Packet): Buffer {
  const ip = Buffer.alloc(20);
  ip[0] = 0x45;
  ip.writeUInt16BE(40 + payload.length, 2);
  ip[8] = 64;
  ip[9] = 6;
  ip.set(fromClient ? [10, 0, 0, 1, 10, 0, 0, 2] : [10, 0, 0, 2, 10, 0, 0, 1], 12);
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(fromClient ? 50_000 : 443, 0);
  tcp.writeUInt16BE(fromClient ? 443 : 50_000, 2);
  tcp.writeUInt32BE(sequence, 4);
  tcp.writeUInt32BE(acknowledged, 8);
  tcp[12] = 0x50;
  tcp[13] = flags;
  tcp.writeUInt16BE(0xffff, 14);
  return Buffer.concat([ip, tcp, payload]);
}

const LINKTYPE_RAW = 101;
const SYN = 0x02;
const PSH = 0x08;
const ACK = 0x10;
/** Bytes in one packet. */
const MOST = 1_400;
