import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { TLSError } from '../../src/errors.ts';
import type { ClientSession } from '../../src/session/client-session.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { Conversation, Dice, type Peer } from './conversation.ts';
import { CombinedWorld, clientFeatures, serverFeatures } from './features.ts';

const world = new CombinedWorld();
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

const run = fc.record({
  ends: fc.record({ client: clientFeatures, server: serverFeatures }),
  seed: fc.nat(),
  /** Steps until the end comes: within a handshake, or some time after it. */
  steps: fc.oneof(fc.integer({ min: 2, max: 20 }), fc.integer({ min: 2, max: 80 })),
  end: fc.constantFrom(
    'cut',
    'abort client',
    'abort server',
    'erase client',
    'erase server',
    'close client',
    'close server',
  ),
  resume: fc.boolean(),
});

/** Whatever a host may ask of a connection at any time; what the state forbids is refused with an error that says so. */
const wishes: readonly ((peer: Peer, talk: Conversation, dice: Dice) => void)[] = [
  (peer, talk, dice) => talk.send(peer.connection.role, dice.below(3000)),
  (peer, talk, dice) => talk.send(peer.connection.role, 20_000 + dice.below(60_000)),
  (peer) => peer.take(peer.connection.updateKeys(true)),
  (peer) => peer.take(peer.connection.maintain()),
  (peer) => peer.take(peer.connection.startRenegotiation()),
  (peer, talk) => {
    const clientAuthentication = { required: false, certificateAuthorities: [], id: 'later' };
    const context = { ...talk.context, clientAuthentication };
    peer.take(peer.connection.startRenegotiation(peer.connection.role === 'server' ? context : undefined));
  },
  (peer) => peer.take(peer.connection.requestClientCertificate({ required: false, certificateAuthorities: [] })),
  (peer) => void peer.connection.exportKeyingMaterial('a label', undefined, 8),
  (peer, _, dice) => (dice.below(6) === 0 ? void peer.take(peer.connection.close()) : undefined),
];

function wish(talk: Conversation, dice: Dice): void {
  const peer = dice.below(2) === 0 ? talk.client : talk.server;
  try {
    wishes[dice.below(wishes.length)](peer, talk, dice);
  } catch (error) {
    assert(error instanceof TLSError, String(error));
    assert(['TLS_ERR_WRONG_STATE', 'TLS_ERR_EXTENDED_MASTER_SECRET'].includes(error.code), error.stack);
  }
}

function erase(sessions: readonly ClientSession[]): void {
  for (const { secret } of sessions) {
    secret.erase();
  }
}

function sessionsOf({ client }: Conversation): ClientSession[] {
  return [...client.sessions, ...client.sessions12];
}

/** Answers that come too late are heard by nobody. */
function answerLate(peer: Peer): void {
  if (peer.need !== undefined) {
    const before = peer.actions.length;
    peer.answer();
    assert(!peer.over || peer.actions.length === before, 'nothing happens after the end');
  }
}

test('wherever a connection is cut off, whatever runs on it, it ends by a name and leaves no secret alive', () => {
  const ended = new Map<string, number>();
  fc.assert(
    fc.property(run, ({ ends, seed, steps, end, resume }) => {
      const dice = new Dice(seed);
      let session: ClientSession | undefined;
      if (resume) {
        const first = Conversation.open(world, ends);
        first?.start();
        first?.run(dice);
        session = first === undefined ? undefined : sessionsOf(first).shift();
        first?.client.connection.erase();
        first?.server.connection.erase();
        erase(first === undefined ? [] : sessionsOf(first).filter((other) => other !== session));
        world.clock.advance(500);
      }
      watch.clear();
      const talk = Conversation.open(world, ends, session);
      if (talk === undefined) {
        session?.secret.erase();
        return;
      }
      const { client, server } = talk;
      talk.start();
      for (let step = 0; step < steps; step++) {
        const isOpen = client.summary !== undefined && server.summary !== undefined;
        if (dice.below(isOpen ? 2 : 12) === 0) {
          wish(talk, dice);
        } else if (!talk.step(dice) && isOpen) {
          wish(talk, dice);
        }
      }
      const where = `${client.connection.state} / ${server.connection.state}`;
      const [what, who] = end.split(' ') as ['cut' | 'abort' | 'erase' | 'close', 'client' | 'server'];
      if (what === 'abort') {
        talk[who].take(talk[who].connection.abort('internal_error'));
      } else if (what === 'erase') {
        talk[who].connection.erase();
      } else if (what === 'close') {
        talk[who].take(talk[who].connection.close());
      }
      if (dice.below(2) === 0) {
        talk.run(dice);
      }
      talk.cut();
      answerLate(client);
      answerLate(server);
      ended.set(where, (ended.get(where) ?? 0) + 1);
      for (const { error, connection, peerClosed } of [client, server]) {
        assert.notEqual(error?.code, 'TLS_ERR_INTERNAL', error?.stack);
        if (peerClosed) {
          // Half open still: its host may say something more, and ends it.
          connection.erase();
        }
        assert.equal(connection.canSend, false);
        assert.deepEqual(connection.receive(new Uint8Array([22, 3, 3, 0, 1, 0])), []);
      }
      talk.assertData(false);
      session?.secret.erase();
      erase(sessionsOf(talk));
      const left = watch.alive.filter((kind) => kind !== 'ticketKey' && kind !== 'cachedSession');
      assert.deepEqual(left, [], `secrets left behind in ${where}`);
    }),
    { numRuns: Number(process.env.RUNS ?? 300) },
  );
  if (process.env.TALLY) console.log([...ended].sort((a, b) => b[1] - a[1]).slice(0, 60));
});
