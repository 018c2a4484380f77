import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import {
  type ClientState,
  clientTransitions,
  connectedClientTransitions,
  connectedServerTransitions,
  type ServerState,
  serverTransitions,
} from '../../src/handshake/transitions.ts';
import { handshakeTypes } from '../../src/messages/code-points.ts';
import { frame, maxMessageLength } from '../../src/messages/handshake-message.ts';
import { CONTENT_APPLICATION_DATA, CONTENT_HANDSHAKE } from '../../src/record/limits.ts';
import { World } from '../support/connections.ts';
import { SecretWatch } from '../support/secret-watch.ts';
import { clientIn, FLIGHT_KEYS, type Stage, serverIn, strike } from '../support/stages.ts';
import { type Stage12, stage12 } from '../support/stages12.ts';

const world = new World();
const watch = new SecretWatch();
after(() => {
  watch.stop();
  world.close();
});

type Table = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const clientTable: Table = { ...clientTransitions, ...connectedClientTransitions };
const serverTable: Table = { ...serverTransitions, ...connectedServerTransitions };
/** A state that waits for the host keeps what comes for the state after it. */
const answered: Record<string, string> = {
  AwaitCertificateVerdict: 'ExpectCertificateVerify',
  AwaitContext: 'ExpectFinished',
  AwaitExternalPsk: 'ExpectFinished',
  AwaitTicketClaim: 'ExpectFinished',
  AwaitSignature: 'ExpectFinished',
  AwaitCertificateStatus: 'ExpectFinished',
  AwaitCertificateVerdict12: 'ExpectServerKeyExchange12',
  AwaitSignature12: 'ExpectClientKeyExchange12',
  AwaitCertificateStatus12: 'ExpectClientKeyExchange12',
  AwaitClientSignature: 'Connected',
  AwaitClientVerdict: 'ExpectClientCertificateVerify',
  AwaitClientSignature12: 'ExpectTicket12',
  AwaitClientVerdict12: 'ExpectClientKeyExchange12',
  AwaitAuthenticationSignature: 'Connected',
  AwaitAuthenticationVerdict: 'ExpectAuthenticationCertificateVerify',
};

function refuses(stage: Stage | Stage12, state: string, content: Uint8Array, what: string): void {
  const { victim, puppet } = stage;
  assert.equal(victim.connection.state, state, 'the state is reached');
  victim.receive(puppet.record(CONTENT_HANDSHAKE, content));
  if (victim.need !== undefined) {
    assert.equal(victim.error, undefined, 'nothing is read while the host is asked');
    victim.answer();
  }
  assert.equal(victim.error?.code, 'TLS_ERR_UNEXPECTED_MESSAGE', `${what} in ${state}: ${victim.error?.message}`);
  const answer = victim.flush();
  if (stage.alertsUnder === 'nothing') {
    assert.equal(answer.length, 0, 'nothing is said before a ClientHello');
  } else {
    puppet.read(answer, readingKeys(state));
    assert.deepEqual(puppet.alerts, [
      `unexpected_message under ${state.startsWith('Await') ? puppet.reads : stage.alertsUnder}`,
    ]);
  }
  strike(stage);
  assert.deepEqual(
    watch.alive.filter((kind) => !kind.startsWith('ticketKey')),
    [],
  );
}

const ANSWERED_WITH_A_FLIGHT = [
  'AwaitContext',
  'AwaitExternalPsk',
  'AwaitTicketClaim',
  'AwaitCertificateStatus',
  'AwaitSignature',
];

/** In these states the victim goes on to other keys before it refuses. */
function readingKeys(state: string): { afterServerHello?: string; afterFinished?: string } {
  if (state === 'AwaitClientSignature') {
    return { afterFinished: 'CLIENT_TRAFFIC_SECRET_0' };
  }
  return ANSWERED_WITH_A_FLIGHT.includes(state) ? FLIGHT_KEYS : {};
}

for (const [role, table] of [
  ['client', clientTable],
  ['server', serverTable],
] as const) {
  describe(`a ${role} refuses every handshake message that its state does not name`, () => {
    for (const state of Object.keys(table)) {
      const legal = Object.keys(table[answered[state] ?? state]);
      const reach = () => {
        if (state.endsWith('12')) {
          return stage12(world, role, state);
        }
        return role === 'client'
          ? clientIn(world, state as ClientState, scriptOf(state))
          : serverIn(world, state as ServerState);
      };

      test(`in ${state} all but ${legal.join(' and ')}, with unexpected_message under the right key`, () => {
        watch.clear();
        for (const [name, type] of Object.entries(handshakeTypes)) {
          // A client that negotiates already ignores it (RFC 5246 §7.4.1.1).
          const isIgnored = name === 'hello_request' && role === 'client' && state.endsWith('12');
          if (!legal.includes(name) && !isIgnored) {
            const body = new Uint8Array(Math.min(4, maxMessageLength(type)));
            refuses(reach(), state, frame(name as keyof typeof handshakeTypes, body), name);
          }
        }
        for (const type of [3, 6, 9, 67, 203, 255]) {
          refuses(reach(), state, new Uint8Array([type, 0, 0, 2, 1, 2]), `a message of type ${type}`);
        }
      });

      test(`in ${state} a message out of place is refused by its first byte, before the rest is waited for`, () => {
        watch.clear();
        const name = legal.includes('certificate') ? 'finished' : 'certificate';
        refuses(reach(), state, new Uint8Array([handshakeTypes[name]]), `the first byte of a ${name}`);
      });
    }
  });
}

/** A client comes to wait for the Certificate alone only when it was asked for its own. */
function scriptOf(state: string): Parameters<typeof clientIn>[2] {
  if (state === 'AwaitClientSignature' || state === 'AwaitAuthenticationSignature') {
    const [{ certificateChain, schemes }] = world.context.credentials;
    const credentials = [{ certificateChain, schemes }];
    return { client: { credentials } };
  }
  return state === 'ExpectCertificate' ? { certificateRequest: true } : {};
}

test('application data during the handshake is refused with unexpected_message', () => {
  for (const state of ['ExpectEncryptedExtensions', 'ExpectCertificateVerify', 'ExpectFinished'] as const) {
    const stage = clientIn(world, state);
    stage.victim.receive(stage.puppet.record(CONTENT_APPLICATION_DATA, new Uint8Array(5)));
    assert.equal(stage.victim.error?.code, 'TLS_ERR_RECORD_TYPE');
    stage.puppet.read(stage.victim.flush());
    assert.deepEqual(stage.puppet.alerts, ['unexpected_message under CLIENT_HANDSHAKE_TRAFFIC_SECRET']);
    strike(stage);
  }
  for (const state of ['ExpectClientHello', 'ExpectClientHelloAfterRetry', 'ExpectFinished'] as const) {
    const stage = serverIn(world, state);
    stage.victim.receive(stage.puppet.record(CONTENT_APPLICATION_DATA, new Uint8Array(5)));
    assert.equal(stage.victim.error?.code, 'TLS_ERR_RECORD_TYPE', state);
    stage.puppet.read(stage.victim.flush());
    assert.deepEqual(stage.puppet.alerts, [`unexpected_message under ${stage.alertsUnder}`]);
    strike(stage);
  }
});
