/** Encrypted Client Hello at the client, against a server that opens it. RFC 9849 §6.1. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { utf8 } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import type { ClientOptions } from '../../src/connection-options.ts';
import { TLSError } from '../../src/errors.ts';
import { decodeCertificate } from '../../src/messages/certificate.ts';
import { encodeCertificateRequest } from '../../src/messages/certificate-request.ts';
import { World } from '../support/connections.ts';
import {
  type ConfigOptions,
  EchConversation,
  EchServer,
  encodeEchConfig,
  encodeEchConfigList,
  extensionsOf,
} from '../support/ech-server.ts';
import { SecretWatch } from '../support/secret-watch.ts';

const SECRET = 'secret.example';
const PUBLIC = 'public.example';

interface Stage {
  readonly world: World;
  readonly server: EchServer;
  readonly talk: EchConversation;
}

/** Runs `body`, and holds that no secret outlives it. */
async function withClient(
  options: Partial<ClientOptions>,
  body: (stage: Stage) => Promise<void> | void,
  config: ConfigOptions = {},
): Promise<void> {
  const server = await EchServer.create(config);
  const world = new World();
  const watch = new SecretWatch();
  try {
    const client = world.client({ serverName: SECRET, encryptedClientHello: server.configList, ...options });
    const talk = new EchConversation(client);
    await body({ world, server, talk });
    talk.end();
    assert.deepEqual(watch.alive, []);
  } finally {
    watch.stop();
    world.close();
  }
}

function includes(haystack: Uint8Array, needle: string | Uint8Array): boolean {
  return Buffer.from(haystack).includes(Buffer.from(needle as Uint8Array));
}

function rejections(talk: EchConversation): (Uint8Array | undefined)[] {
  return talk.client.actions.flatMap((action) => (action.kind === 'echRejected' ? [action.retryConfigs] : []));
}

describe('an encrypted hello that the server opens', () => {
  it('holds the name that is meant, inside one for the public name', () =>
    withClient({}, async ({ talk, server }) => {
      const { outer, outerRaw, inner } = await talk.start(server);
      assert.equal(inner.extensions.serverName, SECRET);
      assert.equal(outer.extensions.serverName, PUBLIC);
      assert(!includes(outerRaw, SECRET), 'the name is nowhere in the clear');
      assert.notDeepEqual(inner.random, outer.random);
      assert.deepEqual(inner.extensions.keyShares, outer.extensions.keyShares);
      assert.deepEqual(inner.extensions.supportedVersions, outer.extensions.supportedVersions);
      // Not concealed: what is the same for any name of the host's choice.
      assert.deepEqual(outer.extensions.alpnProtocols, ['h2']);
    }));

  it('leads to a handshake about the inner one', () =>
    withClient({}, async ({ talk, server }) => {
      const { inner } = await talk.start(server);
      talk.greet({ accepts: true }).finish();
      talk.client.assertFine();
      assert.equal(talk.client.summary?.encryptedClientHello, true);
      assert.equal(talk.client.summary?.serverName, SECRET);
      const need = talk.client.actions.find((action) => action.kind === 'need');
      assert(need?.kind === 'need' && need.need.kind === 'verifyCertificate');
      assert.equal(need.need.serverName, SECRET);
      const line = talk.client.actions.find((action) => action.kind === 'keyLog');
      assert(line?.kind === 'keyLog');
      assert(
        includes(line.line, Buffer.from(inner.random).toString('hex')),
        'the key log knows it by its inner random',
      );
      assert.deepEqual(rejections(talk), []);
    }));

  it('may be opened after a HelloRetryRequest too, with one context for both', () =>
    withClient({}, async ({ talk, server }) => {
      const first = await talk.start(server);
      const second = await talk.retry('right').next(server);
      assert.deepEqual(second.inner.random, first.inner.random);
      assert.deepEqual(second.outer.random, first.outer.random);
      assert.deepEqual(
        second.inner.extensions.keyShares?.map(({ group }) => group),
        [0x0017],
      );
      assert.equal(second.inner.extensions.serverName, SECRET);
      talk.greet({ accepts: true, group: 'secp256r1' }).finish();
      talk.client.assertFine();
      assert.equal(talk.client.summary?.encryptedClientHello, true);
      assert.equal(talk.client.summary?.helloRetried, true);
    }));

  it('must be answered in ServerHello when it was in HelloRetryRequest', () =>
    withClient({}, async ({ talk, server }) => {
      await talk.start(server);
      await talk.retry('right').next(server);
      talk.greet({ accepts: false, group: 'secp256r1' });
      assert.equal(talk.client.error?.code, 'TLS_ERR_ILLEGAL_PARAMETER');
    }));

  it('is not to be told of other configurations', () =>
    withClient({}, async ({ talk, server }) => {
      await talk.start(server);
      talk.greet({ accepts: true }).finish({ retryConfigs: server.configList });
      assert.equal(talk.client.error?.code, 'TLS_ERR_UNSUPPORTED_EXTENSION');
      assert.deepEqual(rejections(talk), []);
    }));

  it('is as long for a short name as for a long one', async () => {
    const lengths = new Set<number>();
    for (const serverName of ['a.example', 'a-rather-longer-name.example', '']) {
      await withClient({ serverName }, async ({ talk, server }) => {
        const { payloadLength, inner } = await talk.start(server);
        assert.equal((payloadLength - 16) % 32, 0);
        assert.equal(inner.extensions.serverName ?? '', serverName);
        lengths.add(payloadLength);
      });
    }
    assert.equal(lengths.size, 1);
  });

  it('takes a name longer than the configuration says', () =>
    withClient(
      { serverName: 'a-name-of-more-than-ten.example' },
      async ({ talk, server }) => {
        assert.equal((await talk.start(server)).inner.extensions.serverName, 'a-name-of-more-than-ten.example');
      },
      { maximumNameLength: 10 },
    ));
});

describe('PSKs of an encrypted hello', () => {
  const identity = utf8('who is there');
  const withPsk = async (body: (stage: Stage) => Promise<void>): Promise<void> => {
    const externalPsk = Secret.take('externalPsk', utf8('thirty-two bytes that are a PSK.'));
    await withClient({ externalPsks: [{ identity, externalPsk }] }, body).finally(() => externalPsk.erase());
  };

  it('have decoys of their shape in the outer one, new binders with each hello', () =>
    withPsk(async ({ talk, server }) => {
      const first = await talk.start(server);
      const second = await talk.retry('right').next(server);
      for (const { outer, outerRaw, inner } of [first, second]) {
        assert(!includes(outerRaw, identity));
        const [real, decoy] = [inner.extensions.preSharedKey, outer.extensions.preSharedKey];
        assert(real !== undefined && decoy !== undefined);
        const shape = (offer: typeof real) => [
          offer.identities.map((one) => one.identity.length),
          offer.binders.map(({ length }) => length),
        ];
        assert.deepEqual(shape(decoy), shape(real));
        for (const binder of real.binders) {
          assert(!includes(outerRaw, binder));
        }
        assert.equal(extensionsOf(outerRaw).at(-1)?.type, 41, 'pre_shared_key is the last');
      }
      const [before, after] = [first.outer.extensions.preSharedKey, second.outer.extensions.preSharedKey];
      assert.deepEqual(after?.identities, before?.identities);
      assert.notDeepEqual(after?.binders, before?.binders);
    }));

  it('are not chosen in the outer one: its decoy is nobody’s', () =>
    withPsk(async ({ talk, server }) => {
      await talk.start(server);
      talk.greet({ accepts: false, selectedIdentity: 0 });
      assert.equal(talk.client.error?.code, 'TLS_ERR_ILLEGAL_PARAMETER');
    }));

  it('are left behind when the server refuses in its HelloRetryRequest; the decoys stay', () =>
    withPsk(async ({ talk, server }) => {
      const { outer } = await talk.start(server);
      const second = talk.retry(undefined).nextOuter();
      assert.deepEqual(second.extensions.preSharedKey?.identities, outer.extensions.preSharedKey?.identities);
      assert.notDeepEqual(second.extensions.preSharedKey?.binders, outer.extensions.preSharedKey?.binders);
      talk.greet({ accepts: false, group: 'secp256r1' }).finish();
      assert.equal(talk.client.error?.code, 'TLS_ERR_ECH_REJECTED');
    }));

  it('never go with early data', () =>
    withClient({ earlyData: true }, async ({ talk, server }) => {
      assert.equal((await talk.start(server)).inner.extensions.earlyData, undefined);
      assert.equal(talk.client.connection.earlyDataRoom, 0);
    }));
});

describe('a server that does not open the hello', () => {
  for (const retryConfigs of [undefined, encodeEchConfigList(encodeEchConfig(new Uint8Array(32).fill(9)))]) {
    const what = retryConfigs === undefined ? 'withdraws its configuration' : 'says what to use instead';
    it(`${what}: after its proof for the public name, the connection ends with ech_required`, () =>
      withClient({}, async ({ talk, server }) => {
        await talk.start(server);
        talk.greet({ accepts: false }).finish({ ...(retryConfigs && { retryConfigs }) });
        const need = talk.client.actions.find((action) => action.kind === 'need');
        assert(need?.kind === 'need' && need.need.kind === 'verifyCertificate');
        assert.equal(need.need.serverName, PUBLIC);
        assert.equal(talk.client.error?.code, 'TLS_ERR_ECH_REJECTED');
        assert.deepEqual(rejections(talk), [retryConfigs]);
        assert.equal(talk.client.summary, undefined);
        talk.listen();
        assert.deepEqual(
          talk.puppet.messages.map(({ name }) => name),
          ['finished'],
        );
        assert.deepEqual(talk.puppet.alerts, ['ech_required under CLIENT_TRAFFIC_SECRET_0']);
      }));
  }

  it('is not believed when its certificate is not for the public name', () =>
    withClient({}, async ({ talk, server }) => {
      await talk.start(server);
      talk.client.verdict = new TLSError('TLS_ERR_BAD_CERTIFICATE', 'not for this name');
      talk.greet({ accepts: false }).finish({ retryConfigs: server.configList });
      assert.equal(talk.client.error?.code, 'TLS_ERR_BAD_CERTIFICATE');
      assert.deepEqual(rejections(talk), []);
    }));

  it('is not believed when its Finished is wrong', () =>
    withClient({}, async ({ talk, server }) => {
      await talk.start(server);
      const tamper = (raw: Uint8Array) => raw.map((byte, at) => (at === raw.length - 1 ? byte ^ 1 : byte));
      talk.greet({ accepts: false }).finish({ retryConfigs: server.configList, tamper });
      assert.equal(talk.client.error?.code, 'TLS_ERR_BAD_FINISHED');
      assert.deepEqual(rejections(talk), []);
    }));

  it('must say it in the right form', () =>
    withClient({}, async ({ talk, server }) => {
      await talk.start(server);
      talk.greet({ accepts: false }).finish({ retryConfigs: server.configList.subarray(0, -1) });
      assert.equal(talk.client.error?.code, 'TLS_ERR_DECODE');
    }));

  it('does not learn who the client is', () =>
    withClient({}, async ({ world, server }) => {
      const credentials = [world.identity.credential];
      const client = world.client({ serverName: SECRET, encryptedClientHello: server.configList, credentials });
      const talk = new EchConversation(client);
      await talk.start(server);
      const request = encodeCertificateRequest({ requestContext: new Uint8Array(0), signatureAlgorithms: [0x0807] });
      talk
        .greet({ accepts: false })
        .finish({ before: [request] })
        .listen();
      assert.deepEqual(
        talk.puppet.messages.map(({ name }) => name),
        ['certificate', 'finished'],
      );
      assert.deepEqual(decodeCertificate(talk.puppet.message('certificate').subarray(4)).entries, []);
      assert.equal(client.error?.code, 'TLS_ERR_ECH_REJECTED');
      talk.end();
    }));

  for (const [what, confirmation] of [
    ['no confirmation', undefined],
    ['a wrong confirmation', new Uint8Array(8).fill(0x5a)],
  ] as const) {
    it(`may ask for another hello with ${what}: the outer one comes again, its encryption as it was`, () =>
      withClient({}, async ({ talk, server }) => {
        const { outer, outerRaw } = await talk.start(server);
        const second = talk.retry(confirmation).nextOuter();
        const payload = extensionsOf(outerRaw).find(({ type }) => type === 0xfe0d)?.data;
        assert.deepEqual(second.extensions.unknown?.find(({ type }) => type === 0xfe0d)?.data, payload);
        assert.deepEqual(second.random, outer.random);
        assert.equal(second.extensions.serverName, PUBLIC);
        talk.greet({ accepts: false, group: 'secp256r1' }).finish();
        assert.equal(talk.client.error?.code, 'TLS_ERR_ECH_REJECTED');
        assert.deepEqual(rejections(talk), [undefined]);
      }));
  }

  it('cannot change its mind after a HelloRetryRequest for the outer hello', () =>
    withClient({}, async ({ talk, server }) => {
      await talk.start(server);
      talk.retry(undefined).nextOuter();
      talk.greet({ accepts: true, group: 'secp256r1' });
      talk.client.assertFine();
      assert.equal(talk.client.summary, undefined);
    }));

  it('confirms with eight bytes, no more and no less', async () => {
    for (const length of [0, 7, 9]) {
      await withClient({}, async ({ talk, server }) => {
        await talk.start(server);
        talk.retry(new Uint8Array(length));
        assert.equal(talk.client.error?.code, 'TLS_ERR_DECODE', `${length} bytes`);
      });
    }
  });

  it('can be one that knows nothing of it', () =>
    withClient({}, ({ world, server }) => {
      const link = world.pair({ serverName: SECRET, encryptedClientHello: server.configList }).run();
      assert.equal(link.client.error?.code, 'TLS_ERR_ECH_REJECTED');
      assert.equal(link.server.error?.code, 'TLS_ERR_ALERT_RECEIVED');
      assert.equal(link.server.error?.alert, 'ech_required');
      assert.deepEqual(link.client.sessions, []);
      link.client.forget();
      link.server.forget();
    }));
});

describe('a hello that only looks encrypted', () => {
  it('changes nothing for a server that knows nothing of it', () => {
    const world = new World();
    for (const namedGroups of [['x25519'], ['secp256r1']] as const) {
      const link = world.pair({ encryptedClientHello: 'grease' }, { namedGroups }).run();
      link.assertComplete();
      assert.equal(link.client.summary?.encryptedClientHello, undefined);
      link.client.forget();
      link.server.forget();
    }
    world.close();
  });

  it('has the form of one that is, with another content each time, and the same in both hellos', () =>
    withClient({ encryptedClientHello: 'grease' }, ({ talk }) => {
      talk.client.start();
      const ech = (raw: Uint8Array) => extensionsOf(raw).find(({ type }) => type === 0xfe0d)?.data ?? assert.fail();
      talk.nextOuter();
      const first = ech(talk.hear());
      assert.deepEqual([...first.subarray(0, 5)], [0, 0, 1, 0, 1]);
      assert.equal(first[6] * 256 + first[7], 32);
      assert.equal((first[40] * 256 + first[41] - 16) % 32, 0);
      assert.equal(first.length, 42 + first[40] * 256 + first[41]);
      // The key is 32 bytes, little-endian, below 2^255 - 19.
      assert(first[39] < 0x80, 'a public key of X25519');
      talk.retry(undefined);
      assert.deepEqual(ech(talk.hear()), first);
    }));

  it('does not mind what a server answers it, as long as it is well formed', async () => {
    await withClient({ encryptedClientHello: 'grease' }, async ({ world, talk, server }) => {
      const answered = new EchConversation(world.client({ encryptedClientHello: 'grease' }));
      answered.client.start();
      answered.nextOuter();
      answered.greet({ accepts: false }).finish({ retryConfigs: server.configList });
      answered.client.assertFine();
      assert(answered.client.summary !== undefined);
      assert.deepEqual(rejections(answered), []);
      answered.end();
      talk.client.start();
      talk.nextOuter();
      talk.greet({ accepts: false }).finish({ retryConfigs: Uint8Array.of(0, 1, 2) });
      assert.equal(talk.client.error?.code, 'TLS_ERR_DECODE');
    });
  });
});

describe('configurations', () => {
  const key = new Uint8Array(32).fill(9);
  const refused: readonly (readonly [string, ConfigOptions])[] = [
    ['another version', { version: 0xfe0a }],
    ['another KEM', { kem: 0x0010 }],
    ['another KDF', { kdf: 2 }],
    ['another AEAD', { aead: 9 }],
    ['an extension that must be understood', { extensions: Uint8Array.of(0x80, 1, 0, 0) }],
    ['a public name that is none', { publicName: 'not_a_host.example' }],
    ['a public name with an empty label', { publicName: 'public..example' }],
    ['a public name that is an address', { publicName: '192.0.2.1' }],
    ['a public name that some take for an address', { publicName: '0x7f.1.0xff' }],
  ];
  const make = (encryptedClientHello: Uint8Array, more: Partial<ClientOptions> = {}) => {
    const world = new World();
    const watch = new SecretWatch();
    try {
      world.client({ serverName: SECRET, encryptedClientHello, ...more }).forget();
    } finally {
      assert.deepEqual(watch.alive, []);
      watch.stop();
      world.close();
    }
  };

  for (const [what, options] of refused) {
    it(`are passed over with ${what}; where nothing else is left, no hello is sent at all`, () => {
      const bad = encodeEchConfig(key, options);
      assert.throws(() => make(encodeEchConfigList(bad)), { code: 'TLS_ERR_CONFIG' });
      make(encodeEchConfigList(bad, encodeEchConfig(key)));
    });
  }

  it('may have extensions that need not be understood', () => {
    make(encodeEchConfigList(encodeEchConfig(key, { extensions: Uint8Array.of(0x70, 1, 0, 1, 5) })));
  });

  it('cannot be used where TLS 1.2 is offered too', () => {
    const versions = ['TLSv1.3', 'TLSv1.2'] as const;
    assert.throws(() => make(encodeEchConfigList(encodeEchConfig(key)), { versions }), { code: 'TLS_ERR_CONFIG' });
  });

  it('are refused with a public key that is none', () => {
    const list = encodeEchConfigList(encodeEchConfig(new Uint8Array(32)));
    assert.throws(() => make(list), { code: 'TLS_ERR_BAD_KEY_SHARE' });
  });

  it('leave no secret behind when they are refused beside a PSK', () => {
    const externalPsk = Secret.take('externalPsk', utf8('thirty-two bytes that are a PSK.'));
    const externalPsks = [{ identity: utf8('me'), externalPsk }];
    const list = encodeEchConfigList(encodeEchConfig(key, { kem: 0x0010 }));
    assert.throws(() => make(list, { externalPsks }), { code: 'TLS_ERR_CONFIG' });
    externalPsk.erase();
  });
});
