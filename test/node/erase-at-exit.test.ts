import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

const source = pathToFileURL(join(import.meta.dirname, '..', '..', 'src', 'node', 'erase-at-exit.js')).href;

/** What a process prints that runs this and then exits. */
function printed(code: string): string[] {
  const prelude = `import { closed, eraseAtExit, opened } from ${JSON.stringify(source)};\n`;
  const args = ['--expose-gc', '--input-type=module', '-e', prelude + code];
  return execFileSync(process.execPath, args, { encoding: 'utf8' }).split('\n').filter(Boolean);
}

test('what is alive is erased when the process exits, and nothing before', () => {
  assert.deepEqual(
    printed(`
      const held = {};
      eraseAtExit(held, (it) => console.log('weak', it === held));
      opened({ eraseKeys: () => console.log('open') });
      console.log('begin');`),
    ['begin', 'open', 'weak true'],
  );
});

test('what was closed, or taken back, is left alone', () => {
  assert.deepEqual(
    printed(`
      const held = { eraseKeys: () => console.log('open') };
      closed(opened(held));
      eraseAtExit(held, () => console.log('weak'))();`),
    [],
  );
});

test('one that fails keeps no other alive, and the exit code is the process’s own', () => {
  assert.deepEqual(
    printed(`
      const fail = () => { throw new Error('no'); };
      const held = [{}, {}];
      opened({ eraseKeys: fail });
      opened({ eraseKeys: () => console.log('open') });
      eraseAtExit(held[0], fail);
      eraseAtExit(held[1], () => console.log('weak', held.length));`),
    ['open', 'weak 2'],
  );
});

test('a session that a client has offered, and that the server has not answered, is erased', () => {
  const folder = pathToFileURL(join(import.meta.dirname, '..', '..')).href;
  assert.deepEqual(
    printed(`
      import { createServer } from 'node:net';
      import { subscribe } from 'node:diagnostics_channel';
      const { connect } = await import('${folder}/src/node/tls.js');
      const { encodeClientSession } = await import('${folder}/src/session/client-session.js');
      const { clientSession12 } = await import('${folder}/test/session/fixtures.js');
      const now = Date.now();
      const made = clientSession12({ receivedAt: now, authenticatedAt: now, serverName: '', peerCertificates: [] });
      const session = encodeClientSession(made).expose();
      const alive = new Map();
      subscribe('mayfly:secret:born', ({ id, kind }) => alive.set(id, kind));
      subscribe('mayfly:secret:ended', ({ id }) => alive.delete(id));
      const server = createServer((socket) => socket.once('data', () => {
        console.log([...alive.values()].includes('masterSecret'));
        process.on('exit', () => console.log(alive.size));
        process.exit();
      }));
      server.listen(0, '127.0.0.1', () => {
        connect({ ...server.address(), host: '127.0.0.1', session, rejectUnauthorized: false });
      });`),
    ['true', '0'],
  );
});

test('what nobody holds any more is not held here', () => {
  assert.deepEqual(
    printed(`
      let held = {};
      const seen = new WeakRef(held);
      eraseAtExit(held, () => console.log('erased'));
      held = undefined;
      await new Promise((resolve) => setImmediate(resolve));
      gc();
      console.log(seen.deref());`),
    ['undefined'],
  );
});
