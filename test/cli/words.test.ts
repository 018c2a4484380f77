import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, isLoopback, parseAddress } from '../../src/cli/address.ts';
import { formatDuration, parseDuration } from '../../src/cli/duration.ts';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { openKeyLog } from '../../src/cli/key-log.ts';
import { createOutput } from '../../src/cli/output.ts';
import { Problem } from '../../src/cli/problem.ts';
import { CounterByLabel, exposition } from '../../src/ledger/metrics.ts';
import { projectRoot } from '../support/project.ts';
import { mainFile, mayfly, mayflyHosted, run, temporaryFolder } from './support.ts';

function usage(call: () => unknown): Problem {
  try {
    call();
  } catch (error) {
    assert.ok(error instanceof Problem);
    assert.equal(error.exit, 'usage');
    return error;
  }
  throw new assert.AssertionError({ message: 'expected a usage problem' });
}

test('durations are read as people write them', () => {
  assert.equal(parseDuration('5s', '--rotate'), 5_000);
  assert.equal(parseDuration('90s', '--rotate'), 90_000);
  assert.equal(parseDuration('15m', '--rotate'), 900_000);
  assert.equal(parseDuration('1h', '--rotate'), 3_600_000);
  assert.equal(parseDuration('1h30m', '--rotate'), 5_400_000);
  assert.equal(parseDuration('1.5h', '--rotate'), 5_400_000);
});

test('what is not a duration is refused with the name of its flag', () => {
  for (const text of ['', '5', 's', '-5s', '5 s', '5x', '0s', '1h-5m', 'Infinityh', '5s;']) {
    assert.match(usage(() => parseDuration(text, '--rotate')).line, /^--rotate: /);
  }
});

test('a formatted duration reads back as itself', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000_000 }), (seconds) => {
      assert.equal(parseDuration(formatDuration(seconds * 1000), '--x'), seconds * 1000);
    }),
  );
});

test('addresses are read in all their forms', () => {
  const rules = { flag: '--listen', defaultHost: 'localhost', defaultPort: 8443, listening: true };
  assert.deepEqual(parseAddress('localhost:8443', rules), { host: 'localhost', port: 8443 });
  assert.deepEqual(parseAddress('127.0.0.1:0', rules), { host: '127.0.0.1', port: 0 });
  assert.deepEqual(parseAddress('[::1]:443', rules), { host: '::1', port: 443 });
  assert.deepEqual(parseAddress('[::1]', rules), { host: '::1', port: 8443 });
  assert.deepEqual(parseAddress('::1', rules), { host: '::1', port: 8443 });
  assert.deepEqual(parseAddress(':443', rules), { host: 'localhost', port: 443 });
  assert.deepEqual(parseAddress('443', rules), { host: 'localhost', port: 443 });
  assert.deepEqual(parseAddress('0.0.0.0', rules), { host: '0.0.0.0', port: 8443 });
  assert.deepEqual(parseAddress('example.org', { flag: 'connect', defaultPort: 443 }), {
    host: 'example.org',
    port: 443,
  });
  assert.deepEqual(parseAddress('123', { flag: 'connect', defaultPort: 443 }), { host: '123', port: 443 });
});

test('what is not an address is refused', () => {
  const rules = { flag: 'connect', defaultPort: 443 };
  for (const text of ['', ':443', 'a:b', 'a:70000', 'a:0', '[::1', 'a b', 'http://a', 'user@a:1', '[::1]:x']) {
    usage(() => parseAddress(text, rules));
  }
});

test('a formatted address reads back as itself', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()), fc.integer({ min: 1, max: 65_535 }), (host, port) => {
      assert.deepEqual(parseAddress(formatAddress({ host, port }), { flag: 'x' }), { host, port });
    }),
  );
});

test('only what other machines cannot reach is loopback', () => {
  for (const host of ['localhost', 'LOCALHOST', '127.0.0.1', '127.9.9.9', '::1']) {
    assert.equal(isLoopback(host), true, host);
  }
  for (const host of ['0.0.0.0', '::', 'localhost.evil.example', '127.0.0.1.evil.example', '10.0.0.1', '1::1', '']) {
    assert.equal(isLoopback(host), false, host);
  }
});

test('a problem is one line, whatever its cause says', () => {
  const line = new Problem('failure', 'first\nsecond\r\n  third', 'Do this.').line;
  assert.equal(line, 'first second third. Do this.');
});

test('the README lists every exit code with its meaning', () => {
  const readme = readFileSync(join(projectRoot, 'README.md'), 'utf8');
  for (const { code, meaning } of Object.values(exitCodes)) {
    assert.ok(readme.includes(`| ${code} | ${meaning} |`), `${code}`);
  }
});

test('every exit code has one meaning', () => {
  const codes = Object.values(exitCodes).map(({ code }) => code);
  assert.equal(new Set(codes).size, codes.length);
  assert.ok(codes.every((code) => code >= 0 && code <= 255));
});

test('metrics are escaped, and a peer cannot grow them without end', () => {
  const counter = new CounterByLabel(3);
  for (const label of ['a"b', 'c\\d', 'e\nf', 'g', 'h', 'g']) {
    counter.add(label);
  }
  assert.equal(counter.total, 6);
  const text = exposition([{ name: 'x_total', help: 'Help\nme', type: 'counter', samples: counter.samples('label') }]);
  assert.equal(
    text,
    '# HELP x_total Help\\nme\n# TYPE x_total counter\nx_total{label="a\\"b"} 1\nx_total{label="c\\\\d"} 1\n' +
      'x_total{label="e\\nf"} 1\nx_total{label="other"} 3\n',
  );
});

test('--version prints the version, --help the commands and the exit codes', async () => {
  const version = await mayfly(['--version']);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
  const help = await mayflyHosted(['--help']);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /serve/);
  assert.match(help.stdout, /connect/);
  assert.match(help.stdout, /Exit codes:/);
  const serveHelp = await mayflyHosted(['serve', '--help']);
  assert.equal(serveHelp.code, 0);
  for (const flag of [
    'listen',
    'cert',
    'key',
    'root',
    'upstream',
    'tls',
    'rotate',
    'lifetime',
    'no-resumption',
    'status',
    'keylog',
    'ca-out',
    'json',
  ]) {
    assert.match(serveHelp.stdout, new RegExp(`--${flag}\\b`));
  }
});

test('a wrong command or flag ends with code 2 and one line that says where to look', async () => {
  for (const args of [['serv'], ['serve', '--rot', '5s'], ['serve', 'extra'], ['connect'], ['serve', '--listen']]) {
    const { code, stderr, stdout } = await mayflyHosted(args);
    assert.equal(code, 2, args.join(' '));
    assert.equal(stdout, '');
    assert.match(stderr, /^mayfly: [^\n]*--help\.\n$/);
  }
  const nothing = await mayfly([]);
  assert.equal(nothing.code, 2);
  assert.match(nothing.stderr, /Usage: mayfly/);
});

test('a mistake in a command of a command names that one’s help', async () => {
  const { code, stderr } = await mayflyHosted(['ring', 'init']);
  assert.equal(code, 2);
  assert.match(stderr, /See mayfly ring init --help\.\n$/);
});

test('output that is lost is a failure, a reader that has seen enough is none', {
  skip: !existsSync('/dev/full'),
}, async () => {
  const command = `"${process.execPath}" "${mainFile}" limits`;
  const lost = await run('sh', ['-c', `${command} > /dev/full`]);
  assert.equal(lost.code, 3);
  assert.match(lost.stderr, /^mayfly: cannot write the output: the disk is full/);
  const read = await run('bash', ['-c', `${command} | head -1; exit "\${PIPESTATUS[0]}"`]);
  assert.equal(read.code, 0, read.stderr);
});

test('a key log that others can read is told of', (t) => {
  const path = join(temporaryFolder(t), 'keys.log');
  writeFileSync(path, '', { mode: 0o644 });
  const warnings: string[] = [];
  openKeyLog(path, { ...createOutput(false), warn: (line) => warnings.push(line) }).close();
  assert.match(warnings[0], /can be read by others \(mode 644\)/);
  chmodSync(path, 0o600);
  openKeyLog(path, { ...createOutput(false), warn: (line) => warnings.push(line) }).close();
  assert.equal(warnings.length, 3);
});

test('with --json a failure is one JSON object on stdout', async () => {
  const { code, stdout, stderr } = await mayflyHosted(['serve', '--json', '--rotate', 'soon']);
  assert.equal(code, 2);
  assert.equal(stderr, '');
  const report = JSON.parse(stdout) as Record<string, unknown>;
  assert.equal(report.event, 'error');
  assert.equal(report.error, 'usage');
  assert.equal(report.exitCode, 2);
  assert.match(String(report.message), /--rotate/);
});

test('a command also runs where Node is told to load no ES module by require', async () => {
  const { code, stdout, stderr } = await run(process.execPath, [
    '--no-experimental-require-module',
    ...[mainFile, 'policy', 'strict'],
  ]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^policy +strict$/m);
});
