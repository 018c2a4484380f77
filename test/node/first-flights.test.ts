import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, it } from 'node:test';
import { FirstFlights, LONGEST_WAITING } from '../../src/node/first-flights.ts';
import { connect, createServer, type TLSSocket } from '../../src/node/tls.ts';
import { closed, delay, listen, serverOptions } from './support.ts';

/** A clock and an event loop that stand still. */
function atRest() {
  const due: (() => void)[] = [];
  const clock = { now: 0 };
  const flights = new FirstFlights({ turnMs: 1, now: () => clock.now, later: (run) => void due.push(run) });
  const turn = () => {
    for (const run of due.splice(0)) {
      run();
    }
  };
  return { flights, clock, turn, due };
}

describe('First flights', () => {
  it('go one at once, and the others in order, as many in a turn as its millisecond holds', () => {
    const { flights, clock, turn, due } = atRest();
    const done: number[] = [];
    assert.equal(flights.mayGo(), true);
    for (const number of [1, 2, 3, 4, 5]) {
      assert.equal(flights.mayGo(), false);
      flights.wait(() => {
        clock.now += 0.6;
        done.push(number);
      });
    }
    turn();
    assert.deepEqual(done, [1, 2]);
    assert.equal(flights.mayGo(), false, 'who comes now does not overtake');
    turn();
    assert.deepEqual(done, [1, 2, 3, 4]);
    turn();
    assert.deepEqual(done, [1, 2, 3, 4, 5]);
    assert.equal(due.length, 0);
    assert.equal(flights.mayGo(), true);
  });

  it('go on in the next turn when one throws', () => {
    const { flights, turn } = atRest();
    const done: string[] = [];
    flights.mayGo();
    flights.wait(() => {
      throw new Error('of a listener');
    });
    flights.wait(() => done.push('next'));
    assert.throws(turn, /of a listener/);
    assert.deepEqual(done, []);
    turn();
    assert.deepEqual(done, ['next']);
  });

  it('run in the context that they came in', () => {
    const { flights, turn } = atRest();
    const storage = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    storage.run('first', () => flights.mayGo());
    storage.run('second', () => flights.wait(() => seen.push(storage.getStore())));
    storage.run('the loop', turn);
    assert.deepEqual(seen, ['second']);
  });
});

/** Raw connections on which nothing was sent, and the bytes that each is to send. */
async function silent(port: number, count: number): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () => connectTcp(port, '127.0.0.1'));
  for (const socket of sockets) {
    socket.on('error', () => {});
  }
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  return sockets;
}

async function clientHello(): Promise<Buffer> {
  const listening = createTcpServer();
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const accepted = once(listening, 'connection') as Promise<[Socket]>;
  const { port } = listening.address() as AddressInfo;
  const client = connect({ host: '127.0.0.1', port, servername: 'localhost', rejectUnauthorized: false });
  client.on('error', () => {});
  const [raw] = await accepted;
  const [hello] = (await once(raw, 'data')) as [Buffer];
  client.destroy();
  raw.destroy();
  listening.close();
  return hello;
}

describe('A server in a flood of ClientHellos', () => {
  // A hello with a hybrid key share takes two packets; of how many it comes in is up to the client.
  for (const [parts, cut] of [
    ['in one piece', 0],
    ['in two pieces', 200],
  ] as const) {
    it(`${parts} answers whoever is connected before it has answered all of them`, () => flooded(cut));
  }

  async function flooded(cut: number): Promise<void> {
    const hello = await clientHello();
    let hellos = 0;
    const server = createServer({
      ...serverOptions,
      SNICallback: (_name, callback) => {
        hellos++;
        callback(null);
      },
    });
    server.on('tlsClientError', () => {});
    const port = await listen(server);
    const opened: { destroy(): unknown }[] = [];
    try {
      const [[served], client] = await Promise.all([
        once(server, 'secureConnection') as Promise<[TLSSocket]>,
        new Promise<TLSSocket>((resolve) => {
          const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', rejectUnauthorized: false }, () =>
            resolve(socket),
          );
        }),
      ]);
      const flood = await silent(port, FLOOD);
      opened.push(client, ...flood);
      for (const socket of flood) {
        socket.write(hello.subarray(0, cut));
      }
      await delay(50);
      hellos = 0;
      const seen = once(served, 'data').then(() => hellos);
      for (const socket of flood) {
        socket.write(hello.subarray(cut));
      }
      client.write('ping');
      const before = await seen;
      assert.ok(before < FLOOD / 2, `${before} of ${FLOOD} hellos were answered before the ping`);
      // And each of them is answered.
      const answers = await Promise.all(flood.map((socket) => once(socket, 'data') as Promise<[Buffer]>));
      assert.ok(answers.every(([bytes]) => bytes[0] === 22 && bytes[5] === 2));
      assert.equal(hellos, FLOOD);
    } finally {
      for (const socket of opened) {
        socket.destroy();
      }
      await closed(server);
    }
  }

  it('reads on where a listener has thrown while a hello had its turn', async () => {
    const hello = await clientHello();
    const server = createServer(serverOptions);
    const failures: string[] = [];
    server.on('keylog', () => {
      throw new Error('of a listener');
    });
    server.on('tlsClientError', (error: NodeJS.ErrnoException) => failures.push(error.code ?? ''));
    const port = await listen(server);
    let thrown = 0;
    const listeners = process.rawListeners('uncaughtException') as NodeJS.UncaughtExceptionListener[];
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', () => thrown++);
    try {
      const sockets = await silent(port, 4);
      for (const socket of sockets) {
        socket.write(hello);
      }
      await Promise.all(sockets.map((socket) => once(socket, 'data')));
      for (const socket of sockets) {
        socket.write(Buffer.alloc(20, 0x61));
      }
      await Promise.all(sockets.map((socket) => once(socket.resume(), 'close')));
      assert.equal(failures.length, 4, failures.join(' '));
      assert.ok(thrown >= 4);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of listeners) {
        process.on('uncaughtException', listener);
      }
      await closed(server);
    }
  });

  it('takes in full what comes on a transport that does not pause', async () => {
    const hello = await clientHello();
    const failures: string[] = [];
    const server = createServer(serverOptions);
    server.on('tlsClientError', (error: NodeJS.ErrnoException) => failures.push(error.code ?? ''));
    const sent: Buffer[][] = [[], []];
    const transports = sent.map((chunks) => {
      const transport = new Duplex({ read() {}, write: (chunk, _encoding, done) => done(void chunks.push(chunk)) });
      server.emit('connection', transport);
      return transport;
    });
    const answered = transports[1];
    // The first hello goes at once, and the second one waits: junk behind it, more than is kept, must not wait for ever.
    transports[0].emit('data', hello);
    answered.emit('data', hello.subarray(0, 100));
    answered.emit('data', hello.subarray(100));
    assert.equal(sent[1].length, 0, 'it waits');
    answered.emit('data', Buffer.alloc(LONGEST_WAITING, 0x61));
    assert.equal(Buffer.concat(sent[1])[5], 2, 'a ServerHello');
    assert.equal(failures.length, 1);
    for (const transport of transports) {
      transport.destroy();
    }
    await delay(1);
  });

  it('answers at once what is too long to be kept, and forgets who has hung up', async () => {
    const server = createServer(serverOptions);
    const failures: string[] = [];
    server.on('tlsClientError', (error: NodeJS.ErrnoException) => failures.push(error.code ?? ''));
    const port = await listen(server);
    try {
      const sockets = await silent(port, 4);
      for (const socket of sockets.slice(0, 2)) {
        socket.write(Buffer.alloc(LONGEST_WAITING + 1, 0x61));
      }
      for (const socket of sockets.slice(2)) {
        socket.write(Buffer.alloc(20, 0x61));
        socket.resetAndDestroy();
      }
      while (failures.length < 4) {
        await once(server, 'tlsClientError');
      }
      assert.equal(failures.filter((code) => code === 'TLS_ERR_NOT_TLS').length >= 2, true, failures.join(' '));
      for (const socket of sockets) {
        socket.destroy();
      }
    } finally {
      await closed(server);
    }
  });
});

const FLOOD = 30;
