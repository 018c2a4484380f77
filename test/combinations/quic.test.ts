import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../../src/bytes/bytes.ts';
import type { ServerContext } from '../../src/connection-options.ts';
import { TLSError } from '../../src/errors.ts';
import type { ClientSession13 } from '../../src/session/client-session.ts';
import { externalPskTable } from '../../src/session/external-psk.ts';
import { type Piece, QuicEndpoint, QuicLink, quicClient, quicServer } from '../quic/support.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { answerFrom, Dice } from './conversation.ts';
import {
  type ClientFeatures,
  CombinedWorld,
  clientFeatures,
  clientIdentities,
  clientOptions,
  psks,
  type ServerFeatures,
  serverContext,
  serverFeatures,
  serverIdentities,
  serverOptions,
} from './features.ts';

const world = new CombinedWorld();
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

const MODERN = { versions: ['TLSv1.3'], alpn: ['h3'], earlyData: false };

interface Talk {
  readonly client: QuicEndpoint;
  readonly server: QuicEndpoint;
}

/** An end whose host answers needs when it is told to. */
class QuicPeer extends QuicEndpoint {
  override hold = ['context', 'sign', 'verifyCertificate', 'certificateStatus', 'externalPsk', 'claimTicket'] as never;
  readonly #answerTo: ReturnType<typeof answerFrom>;

  constructor(of: QuicEndpoint, answerTo: ReturnType<typeof answerFrom>) {
    super(of.handshake, world);
    this.#answerTo = answerTo;
  }

  override answer(): this {
    const need = this.need;
    assert(need !== undefined, 'a need is open');
    this.need = undefined;
    return this.take(this.handshake.resume(need, this.#answerTo(need)));
  }
}

function open(client: ClientFeatures, server: ServerFeatures, session?: ClientSession13): Talk | undefined {
  const context: ServerContext = serverContext(world, server);
  const own = { transportParameters: utf8('parameters') };
  const lookUp = externalPskTable((server.psks ?? []).map((name) => psks[name]));
  const once = server.singleUse === 'ask' ? world.once : world.early;
  try {
    return {
      client: new QuicPeer(
        quicClient(world, {
          ...(clientOptions(client) as object),
          ...own,
          ...(session === undefined ? {} : { session }),
        }),
        answerFrom({ peers: serverIdentities, own: clientIdentities }),
      ),
      server: new QuicPeer(
        quicServer(world, { ...(serverOptions(context, server) as object), ...own }),
        answerFrom({ peers: clientIdentities, own: serverIdentities, context, lookUp, once }),
      ),
    };
  } catch (error) {
    assert(error instanceof TLSError && ['TLS_ERR_CONFIG', 'TLS_ERR_DECODE'].includes(error.code), String(error));
    return undefined;
  }
}

/** At most so many steps, in an order that the dice decide. */
function run({ client, server }: Talk, dice: Dice, steps: number): void {
  const wire: Record<'up' | 'down', Piece[]> = { up: [], down: [] };
  client.start();
  for (let step = 0; step < steps; step++) {
    wire.up.push(...client.flush());
    wire.down.push(...server.flush());
    const possible: (() => void)[] = [];
    for (const [to, way] of [
      [server, 'up'],
      [client, 'down'],
    ] as const) {
      const [piece] = wire[way];
      if (piece !== undefined && (piece.level === 'initial' || to.secrets.has(`${piece.level} read`))) {
        possible.push(() => {
          const cut = dice.below(3) === 0 ? 1 + dice.below(piece.bytes.length) : piece.bytes.length;
          const rest = piece.bytes.slice(cut);
          wire[way].splice(0, 1, ...(rest.length === 0 ? [] : [{ level: piece.level, bytes: rest }]));
          to.receive(piece.level, piece.bytes.slice(0, cut));
        });
      }
      if (to.need !== undefined) {
        possible.push(() => void to.answer());
      }
    }
    if (possible.length === 0 || client.error !== undefined || server.error !== undefined) {
      return;
    }
    possible[dice.below(possible.length)]();
  }
}

function forget({ client, server }: Talk, kept?: ClientSession13): void {
  for (const end of [client, server]) {
    end.handshake.erase();
    for (const { secret } of [...end.secrets.values(), ...end.sessions]) {
      if (secret !== kept?.secret) {
        secret.erase();
      }
    }
  }
}

const course = fc.record({
  client: clientFeatures,
  server: serverFeatures,
  seed: fc.nat(),
  steps: fc.oneof(fc.constant(10_000), fc.integer({ min: 1, max: 30 })),
});

test('over QUIC, with any features and wherever it stops, both ends agree or one fails by a name; nothing is left', () => {
  let complete = 0;
  fc.assert(
    fc.property(course, (given) => {
      const client: ClientFeatures = { ...given.client, ...MODERN };
      const server: ServerFeatures = { ...given.server, ...MODERN };
      const dice = new Dice(given.seed);
      watch.clear();
      let session: ClientSession13 | undefined;
      for (const steps of [10_000, given.steps]) {
        const talk = open(client, server, session);
        if (talk === undefined) {
          break;
        }
        run(talk, dice, steps);
        for (const { error } of [talk.client, talk.server]) {
          assert.notEqual(error?.code, 'TLS_ERR_INTERNAL', error?.stack);
        }
        const failed = talk.client.error !== undefined || talk.server.error !== undefined;
        if (steps === 10_000 && !failed) {
          new QuicLink(talk.client, talk.server).assertComplete();
          const [ours, theirs] = [talk.client.summary, talk.server.summary];
          assert.deepEqual(ours?.externalPsk, theirs?.externalPsk);
          assert.equal(ours?.pskMode, theirs?.pskMode);
          assert(server.clients !== 'required' || theirs?.peerCertificates.length);
          assert.deepEqual(ours?.ownCertificates ?? theirs?.peerCertificates, theirs?.peerCertificates);
          complete++;
        }
        const before = session;
        session = talk.client.sessions[0];
        forget(talk, session);
        before?.secret.erase();
        world.clock.advance(300);
      }
      session?.secret.erase();
      const left = watch.alive.filter((kind) => kind !== 'ticketKey');
      assert.deepEqual(left, [], 'secrets left');
    }),
    { numRuns: Number(process.env.RUNS ?? 150) },
  );
  assert(complete > 20, `${complete} were complete`);
});
