/** The shim keeps to the protocol between BoringSSL's runner and its shims, seen from a runner of our own. */

import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { createSecureContext, type TLSSocket } from 'node:tls';
import {
  anyOf,
  asClient,
  asServer,
  echoOnce,
  end,
  files,
  type Outcome,
  pem,
  read,
  runShim,
  runShimProcess,
  untilClosed,
} from './runner.ts';

const server = ['-server', '-cert-file', files.cert, '-key-file', files.key];
const only12 = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;

describe('the shim', { concurrency: 2 }, () => {
  it('echoes with every byte turned over, as client and as server', async () => {
    passed(await runShimProcess([], asServer({})));
    passed(await runShimProcess(server, asClient({})));
  });

  it('writes its ID before TLS begins, where the runner gave it one', async () => {
    const outcome = await runShimProcess(['-shim-id', '72623859790382856'], async (socket) => {
      const id = await read(socket, 8).then((bytes) => bytes.subarray(0, 8));
      assert.equal(id.readBigUInt64LE(), 72623859790382856n);
    });
    assert.equal(outcome.code, 1);
  });

  it('exits with 89 at a flag that it does not know, before it connects', async () => {
    const outcome = await runShimProcess(['-dtls'], () => assert.fail('it connected'));
    assert.equal(outcome.code, 89);
    assert.match(outcome.text, /not implemented: -dtls/);
  });

  it('exits with 89 at a value that it cannot serve', async () => {
    for (const flags of [
      ['-max-version', '769'],
      ['-curves', '21'],
      ['-cipher', 'RC4'],
    ]) {
      const outcome = await runShim(flags, () => assert.fail('it connected'));
      assert.equal(outcome.code, 89, flags.join(' '));
    }
  });

  it('passes over flags for a handshaker, which it says it does not have', async () => {
    const outcome = await runShimProcess(['-is-handshaker-supported']);
    assert.deepEqual(outcome, { code: 0, text: 'No\n' });
    passed(await runShim(['-on-handshaker-expect-version', '9', '-on-handshaker-dtls'], asServer({})));
  });

  it('resumes as a client, in both versions, with the flags for resumptions', async () => {
    for (const [options, code] of [
      [{}, '772'],
      [only12, '771'],
    ] as const) {
      const secureContext = createSecureContext({ ...pem, ...options, ticketKeys: Buffer.alloc(48, 7) } as object);
      const seen: boolean[] = [];
      const peer = asServer({ secureContext }, async (socket) => {
        await echoOnce(socket, () => void seen.push(socket.isSessionReused()));
      });
      // Node's server gives no ticket to those who resume.
      const resumption = ['-on-resume-expect-version', code, '-on-resume-expect-no-session'];
      passed(await runShim(['-resume-count', '1', ...resumption], peer, peer));
      assert.deepEqual(seen, [false, true]);
    }
  });

  it('resumes as a server, in both versions', async () => {
    for (const options of [{}, only12]) {
      let session: Buffer | undefined;
      const peer = async (socket: Socket) => {
        await asClient({ ...options, ...(session !== undefined && { session }) }, async (tls) => {
          tls.on('session', (fresh: Buffer) => {
            session = fresh;
          });
          await echoOnce(tls);
        })(socket);
      };
      passed(await runShim([...server, '-resume-count', '1'], peer, peer));
    }
  });

  it('fails where the runner expected a resumption and there was none', async () => {
    // Other ticket keys each time.
    const outcome = await runShim(['-resume-count', '1'], asServer({}), asServer({}, untilClosed));
    failed(outcome, /resumed: expected true, got false/);
    passed(await runShim(['-resume-count', '1', '-expect-session-miss'], asServer({}), asServer({})));
  });

  it('fails where a session was expected to be missing and was not', async () => {
    failed(await runShim(['-expect-no-session'], asServer({})), /got a session: expected false, got true/);
  });

  it('speaks the versions that its flags allow, and no other', async () => {
    const protocols: (string | null)[] = [];
    const note = async (socket: TLSSocket) => {
      await echoOnce(socket, () => void protocols.push(socket.getProtocol()));
    };
    passed(await runShim(['-max-version', '771', '-expect-version', '771'], asServer({}, note)));
    passed(await runShim([...server, '-no-tls12'], asClient({}, note)));
    failed(
      await runShim(['-min-version', '772'], asServer(only12, untilClosed)),
      /TLS_ERR_ALERT_RECEIVED|TLS_ERR_PROTO/,
    );
    assert.deepEqual(protocols, ['TLSv1.2', 'TLSv1.3']);
  });

  it('fails where the version, suite, group or scheme is not the expected one', async () => {
    const cases = [
      [['-expect-version', '771'], /expect-version: expected 771, got 772/],
      [['-expect-cipher', '4867'], /expect-cipher: expected 4867, got 4865/],
      [['-expect-curve-id', '24'], /expect-curve-id: expected 24, got 29/],
      [['-expect-peer-signature-algorithm', '2052'], /signature scheme: expected 2052, got 1027/],
    ] as const;
    for (const [flags, text] of cases) {
      const flagsAll = ['-cipher', 'TLS_AES_128_GCM_SHA256', '-curves', '29', ...flags];
      failed(await runShim(flagsAll, asServer({}, untilClosed)), text);
    }
  });

  it('offers application protocols and holds the choice against what is expected', async () => {
    const offer = ['-advertise-alpn', '\x03foo\x03bar'];
    const peer = asServer({ ALPNProtocols: ['bar'] });
    passed(await runShim([...offer, '-expect-alpn', 'bar'], peer));
    const other = asServer({ ALPNProtocols: ['bar'] }, untilClosed);
    failed(await runShim([...offer, '-expect-alpn', 'foo'], other), /protocol: expected foo, got bar/);
  });

  it('selects, declines or rejects application protocols as a server', async () => {
    const chosen: (string | false | null)[] = [];
    const peer = asClient({ ALPNProtocols: ['foo', 'bar'] }, async (socket) => {
      await echoOnce(socket, () => void chosen.push(socket.alpnProtocol));
    });
    const offered = ['-expect-advertised-alpn', '\x03foo\x03bar'];
    passed(await runShim([...server, ...offered, '-select-alpn', 'bar'], peer));
    passed(await runShim([...server, '-decline-alpn'], peer));
    assert.deepEqual(chosen, ['bar', false]);
    const rejected = await runShim([...server, '-reject-alpn'], asClient({ ALPNProtocols: ['foo'] }, untilClosed));
    failed(rejected, /TLS_ERR_NO_APPLICATION_PROTOCOL no_application_protocol/);
  });

  it('sends the name it is given and sees the one that a client sends', async () => {
    const names: unknown[] = [];
    const peer = asServer({
      SNICallback: (name, callback) => {
        names.push(name);
        callback(null, undefined);
      },
    });
    passed(await runShim(['-host-name', 'example.test'], peer));
    assert.deepEqual(names, ['example.test']);
    passed(await runShim([...server, '-expect-server-name', 'a.test'], asClient({ servername: 'a.test' })));
    const wrong = await runShim(
      [...server, '-expect-server-name', 'b.test'],
      asClient({ servername: 'a.test' }, untilClosed),
    );
    failed(wrong, /server name: expected b.test, got a.test/);
  });

  it('writes exported keying material first', async () => {
    const flags = ['-export-keying-material', '40', '-export-label', 'label', '-use-export-context'];
    const peer = asServer({}, async (socket) => {
      const exported = await read(socket, 40);
      assert.deepEqual(exported, socket.exportKeyingMaterial(40, 'label', Buffer.from('context')));
      await end(socket);
    });
    passed(await runShim([...flags, '-export-context', 'context'], peer));
  });

  it('writes hello first when asked to', async () => {
    const peer = asClient({}, async (socket) => {
      assert.equal((await read(socket, 5)).toString(), 'hello');
      await echoOnce(socket);
    });
    passed(await runShim([...server, '-shim-writes-first'], peer));
  });

  it('sends close_notify and waits for the answer when it shuts down', async () => {
    let ended = false;
    const peer = asServer({}, async (socket) => {
      socket.resume();
      await anyOf(socket, 'end', 'close');
      ended = true;
      await end(socket);
    });
    passed(await runShim(['-shim-shuts-down', '-check-close-notify'], peer));
    assert.ok(ended);
  });

  it('takes an end without close_notify only where it is not asked to look', async () => {
    const cut = asServer({}, async (socket) => {
      await anyOf(socket, 'secure');
      socket.write('x');
      await read(socket, 1);
      // The transport under it ends, and TLS says nothing.
      (socket as unknown as { _parent: Socket })._parent?.destroySoon();
    });
    const checked = await runShim(['-check-close-notify'], cut);
    failed(checked, /close_notify|ECONNRESET/);
    const unchecked = await runShim([], cut);
    assert.equal(unchecked.code, 0, unchecked.text);
  });

  it('renews its keys before each echo when asked to', async () => {
    passed(await runShim([...server, '-key-update'], asClient({})));
  });

  it('asks clients for certificates and refuses those that have none', async () => {
    const asking = [...server, '-require-any-client-certificate'];
    passed(await runShim([...asking, '-expect-peer-cert-file', files.cert], asClient(pem)));
    failed(await runShim(asking, asClient({}, untilClosed)), /TLS_ERR_CERTIFICATE_REQUIRED certificate_required/);
  });

  it('shows its certificate as a client', async () => {
    let subject = '';
    const peer = asServer({ requestCert: true, rejectUnauthorized: false }, async (socket) => {
      await echoOnce(socket, () => {
        subject = socket.getPeerCertificate().subjectaltname ?? '';
      });
    });
    passed(await runShim(['-cert-file', files.cert, '-key-file', files.key], peer));
    assert.equal(subject, 'DNS:localhost');
  });

  it('trusts any chain unless it is told a root, or to fail', async () => {
    passed(await runShim(['-trust-cert', files.ca], asServer({})));
    failed(await runShim(['-trust-cert', files.otherCa], asServer({}, untilClosed)), /TLS_ERR_UNKNOWN_CA unknown_ca/);
    failed(
      await runShim(['-verify-fail', '-verify-peer'], asServer({}, untilClosed)),
      /TLS_ERR_BAD_CERTIFICATE handshake_failure/,
    );
  });

  it('takes bytes one by one under -async', async () => {
    passed(await runShim(['-async'], asServer({})));
    passed(await runShim([...server, '-async'], asClient(only12)));
  });

  it('prints the code, the alert and the text of what went wrong', async () => {
    const peer = async (socket: Socket) => {
      await read(socket, 1);
      // A fatal alert, handshake_failure, in plaintext.
      socket.write(Buffer.from('15030300020228', 'hex'));
      await untilClosed(socket);
    };
    failed(await runShim([], peer), /^TLS_ERR_ALERT_RECEIVED handshake_failure: .+\n$/);
  });

  it('fails when the handshake is complete and never should have been', async () => {
    failed(await runShimProcess(['-handshake-never-done'], asServer({}, untilClosed)), /the handshake is complete/);
  });
});

function passed(outcome: Outcome): void {
  assert.deepEqual(outcome, { code: 0, text: '' });
}

function failed(outcome: Outcome, text: RegExp): void {
  assert.equal(outcome.code, 1, outcome.text);
  assert.match(outcome.text, text);
}
