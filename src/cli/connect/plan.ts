/** What `connect` is told to do: its flags, read and checked before anything is opened. */

import { domainToASCII } from 'node:url';
import { decodeEchConfigList } from '../../messages/encrypted-client-hello.ts';
import { type Address, formatAddress, parseAddress } from '../address.ts';
import type { ConnectFlags } from '../connect.ts';
import { parseDuration } from '../duration.ts';
import type { Output } from '../output.ts';
import { Problem } from '../problem.ts';
import { readPskFile } from '../psk-file.ts';
import { credentialsFromFiles, type ServerCredentials } from '../serve/credentials.ts';
import { readCa } from '../trusted-file.ts';
import { parseVersions, type Versions } from '../versions.ts';
import { earlyRequestBytes } from './early-request.ts';
import type { Attempt } from './handshake.ts';
import type { SessionForm } from './sessions.ts';

export interface ConnectPlan {
  /** The caller erases its PSKs. */
  readonly attempt: Omit<Attempt, 'session' | 'onKeyLog'>;
  readonly form: SessionForm | undefined;
  /** Who we are; a session also says that. */
  readonly as: string;
}

/** @throws Problem */
export function planConnect(target: string, flags: ConnectFlags, output: Output): ConnectPlan {
  const [, authority = target] = /^https:\/\/([^/?#]+)/i.exec(target) ?? [];
  const address = parseAddress(authority, { flag: 'connect', defaultPort: 443 });
  const peer = { ...address, host: asciiName(address.host) };
  const serverName = flags.servername === undefined ? peer.host : asciiName(flags.servername);
  const timeout = parseDuration(flags.timeout, '--timeout');
  const ca = flags.ca === undefined ? undefined : readCa(flags.ca);
  const own = readOwn(flags, output);
  const form = parseForm(flags.resume);
  const versions = chooseVersions(flags, form);
  const early = readEarly(flags, { host: serverName, port: peer.port });
  return {
    form,
    as: own === undefined ? '' : ` as ${own.leaf.fingerprint}`,
    attempt: {
      peer,
      serverName,
      ca,
      own,
      alpnProtocols: early === undefined ? split(flags.alpn) : ['http/1.1'],
      groups: flags.group === undefined ? undefined : split(flags.group).join(':'),
      suites: flags.suite === undefined ? undefined : split(flags.suite).join(':'),
      versions,
      byId: form === 'id',
      insecure: flags.insecure === true,
      timeout,
      keepTickets: flags.session !== undefined,
      ech: readEch(flags.ech),
      early,
      // Last, so that nothing that fails leaves a key behind.
      psks: flags.pskFile === undefined ? [] : readPskFile(flags.pskFile),
    },
  };
}

/** As DNS and TLS have it: `xn--…` for what is not ASCII. What cannot be written so is left for them to refuse. */
function asciiName(name: string): string {
  return /[^\x20-\x7e]/.test(name) ? domainToASCII(name) || name : name;
}

/** @throws Problem `usage`, `file`, `bad_pem`, `key_mismatch`, `expired` */
function readOwn({ cert, key }: ConnectFlags, output: Output): ServerCredentials | undefined {
  if ((cert === undefined) !== (key === undefined)) {
    throw new Problem(
      'usage',
      `${cert === undefined ? '--cert' : '--key'} is missing`,
      '--cert and --key go together.',
    );
  }
  return cert === undefined || key === undefined ? undefined : credentialsFromFiles(cert, key, output);
}

/** @throws Problem `usage` */
function parseForm(text: string | undefined): SessionForm | undefined {
  if (text !== undefined && text !== 'id' && text !== 'ticket') {
    throw new Problem('usage', `--resume: "${text}" is not a choice`, 'Write id or ticket.');
  }
  return text;
}

/** @throws Problem `usage` */
function chooseVersions({ tls, ech, pskFile, earlyGet }: ConnectFlags, form: SessionForm | undefined): Versions {
  const needs13 = [
    ...(ech === undefined || ech === 'grease' ? [] : ['--ech']),
    ...(pskFile === undefined ? [] : ['--psk-file']),
    ...(earlyGet === undefined ? [] : ['--early-get']),
  ];
  if (needs13.length > 0 && (tls === '1.2' || form === 'id')) {
    throw new Problem(
      'usage',
      `${needs13[0]} needs TLS 1.3`,
      `Leave out ${form === 'id' ? '--resume id' : '--tls 1.2'}.`,
    );
  }
  if (form !== 'id') {
    return parseVersions(tls ?? 'both');
  }
  if (tls !== undefined && tls !== '1.2') {
    throw new Problem(
      'usage',
      `--resume id does not go with --tls ${tls}`,
      'Only TLS 1.2 has session IDs: leave --tls out, or give --tls 1.2.',
    );
  }
  return parseVersions('1.2');
}

/** @throws Problem `usage` */
function readEarly({ earlyGet, session, alpn }: ConnectFlags, at: Address): Attempt['early'] {
  if (earlyGet === undefined) {
    return undefined;
  }
  if (session === undefined) {
    throw new Problem('usage', '--session is missing', '--early-get needs a session that an earlier run has kept.');
  }
  if (!split(alpn).includes('http/1.1')) {
    throw new Problem('usage', '--early-get speaks HTTP/1.1', 'Leave out --alpn, or name http/1.1 in it.');
  }
  return { path: earlyGet, request: earlyRequestBytes(earlyGet, formatAddress(at).replace(/:443$/, '')) };
}

/** @throws Problem `usage` */
function readEch(text: string | undefined): Attempt['ech'] {
  if (text === undefined || text === 'grease') {
    return text;
  }
  try {
    const bytes = new Uint8Array(Buffer.from(text, 'base64'));
    decodeEchConfigList(bytes);
    return bytes;
  } catch (error) {
    throw new Problem(
      'usage',
      '--ech: what was given is no ECHConfigList in base64',
      'Give the ech= of the DNS record of type HTTPS, or grease.',
      error,
    );
  }
}

/** Names with commas or colons in between. */
function split(text: string): string[] {
  return text
    .split(/[,:]/)
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
