/** What `serve` reads from files, at its start and again when they change: certificates and keys, staples, whom to trust. */

import { readFileSync, writeFileSync } from 'node:fs';
import { sameBytes } from '../../bytes/bytes.ts';
import { parseCertificate } from '../../certificates/certificate.ts';
import { parseOcspResponse } from '../../certificates/ocsp.ts';
import { mustStaple } from '../../certificates/ocsp-check.ts';
import { pemToDer } from '../../certificates/pem.ts';
import { createSecureContext } from '../../node/tls.ts';
import type { Output } from '../output.ts';
import { listOf } from '../policy/serve-policy.ts';
import { fileProblem, flagProblem, messageOf, Problem } from '../problem.ts';
import type { ServeFlags } from '../serve.ts';
import { readCa } from '../trusted-file.ts';
import { type Versions, versionOptions } from '../versions.ts';
import { allCredentials, kindOf, neverShown } from './certificate-table.ts';
import { credentialsFromFiles, developmentCredentials, type ServerCredentials } from './credentials.ts';
import { warnOfOpenKeys } from './key-modes.ts';
import { pskFileFacts } from './psks.ts';
import { type Renewable, renewOnChange } from './renewal.ts';
import type { SiteOptions } from './site.ts';

export type LoadPlan = { readonly flags: ServeFlags; readonly versions: Versions };

/** What the files say. @throws Problem */
export function loadRenewable({ flags, versions }: LoadPlan, output: Output): Renewable {
  const credentials = loadCredentials(flags, output);
  checkSigalgs(credentials, flags, versions);
  warnOfOpenKeys(flags.key ?? [], output);
  warnOfMissingStaples(credentials, flags.cert ?? [], output);
  return {
    credentials,
    clients: parseClients(flags),
    ...(flags.pskFile === undefined ? {} : { psks: pskFileFacts(flags.pskFile) }),
  };
}

/** A certificate of the development CA, which is new at each start, stays what it is. */
export function renewFiles(
  plan: LoadPlan,
  current: Renewable,
  output: Output,
  apply: (renewed: Renewable) => void,
): () => void {
  const { cert = [], key = [], staple = [], clientCa, pskFile } = plan.flags;
  const paths = new Set([...cert, ...key, ...staple, clientCa, pskFile].filter((path) => path !== undefined));
  if (paths.size === 0) {
    return () => {};
  }
  const load = () => ({
    ...loadRenewable(plan, output),
    ...(cert.length === 0 ? { credentials: current.credentials } : {}),
  });
  return renewOnChange({ paths: [...paths], current, load, apply, output });
}

function loadCredentials(flags: ServeFlags, output: Output): ServerCredentials {
  const { cert = [], key = [], staple = [], caOut } = flags;
  if (cert.length !== key.length) {
    const missing = cert.length < key.length ? '--cert' : '--key';
    throw cert.length === 0 || key.length === 0
      ? new Problem('usage', `${missing} is missing`, '--cert and --key go together.')
      : new Problem(
          'usage',
          `${missing} is missing: there are ${cert.length} times --cert and ${key.length} times --key`,
          'Give a --key for each --cert, in the same order.',
        );
  }
  if (cert.length > 0) {
    if (caOut !== undefined) {
      throw new Problem('usage', '--ca-out makes no sense with --cert', 'Only the development CA can be written out.');
    }
    return loadPairs(cert, key, staple, output);
  }
  if (staple.length > 0) {
    throw new Problem('usage', '--cert is missing', '--staple goes with a certificate of yours.');
  }
  const credentials = developmentCredentials(output);
  if (caOut !== undefined && credentials.development !== undefined) {
    try {
      writeFileSync(caOut, credentials.development.caPem);
    } catch (error) {
      throw fileProblem('write', caOut, error);
    }
  }
  return credentials;
}

function loadPairs(
  certs: readonly string[],
  keys: readonly string[],
  staples: readonly string[],
  output: Output,
): ServerCredentials {
  if (certs.length > MAX_PAIRS) {
    throw new Problem('usage', `--cert is given ${certs.length} times, and at most ${MAX_PAIRS} are taken`);
  }
  const pairs = certs.map((cert, at) => loadPair(cert, keys[at], output, certs.length > 1));
  const lost = neverShown(pairs);
  if (lost !== undefined) {
    const path = (one: ServerCredentials) => certs[pairs.indexOf(one)];
    const names = lost.one.leaf.names.join(', ') || 'no name';
    throw lost.instead === undefined
      ? new Problem(
          'usage',
          `the certificate in ${path(lost.one)} would never be shown: it has ${names}, and clients ask by a DNS name`,
          'Give it first, or leave it out.',
        )
      : new Problem(
          'usage',
          `the certificate in ${path(lost.one)} would never be shown: the one in ${path(lost.instead)} goes before it, with the same kind of key (${kindOf(lost.one)}) for the same names (${names})`,
          'Leave one of them out.',
        );
  }
  const [first, ...others] = staple(pairs, certs, staples);
  return others.length === 0 ? first : { ...first, others };
}

function loadPair(cert: string, key: string, output: Output, isOneOfSeveral: boolean): ServerCredentials {
  try {
    return credentialsFromFiles(cert, key, output);
  } catch (error) {
    if (isOneOfSeveral && error instanceof Problem && error.exit === 'key_mismatch') {
      throw new Problem(error.exit, error.message, 'Keys go with certificates by their order: check it.', error.cause);
    }
    throw error;
  }
}

/** With several certificates, each response goes to the one that it answers for. */
function staple(
  pairs: readonly ServerCredentials[],
  certs: readonly string[],
  paths: readonly string[],
): readonly ServerCredentials[] {
  const stapled = [...pairs];
  for (const path of paths) {
    const ocspResponse = readBytes(path);
    const at = pairs.length === 1 ? 0 : subjectOf(ocspResponse, path, pairs);
    if (stapled[at].ocspResponse !== undefined) {
      throw new Problem(
        'usage',
        `--staple: ${path} is the second response for the certificate in ${certs[at]}`,
        'Give one for each certificate.',
      );
    }
    const { cert, key } = stapled[at];
    try {
      createSecureContext({ cert, key, ocspResponse });
    } catch (error) {
      throw badStaple(path, messageOf(error).replace(/^ocspResponse: /, ''), error);
    }
    stapled[at] = { ...stapled[at], ocspResponse };
  }
  return stapled;
}

/** RFC 7633: such a certificate, without a response beside it, is one that some clients refuse and others do not. */
function warnOfMissingStaples(credentials: ServerCredentials, paths: readonly string[], output: Output): void {
  for (const [at, { cert, ocspResponse }] of allCredentials(credentials).entries()) {
    if (ocspResponse === undefined && mustStaple(parseCertificate(pemToDer(cert)[0]))) {
      output.warn(
        `the certificate in ${paths[at]} says that an OCSP response is stapled to it (must-staple), and none is: clients that heed this, such as Firefox, refuse it. Fetch one (openssl ocsp … -respout FILE) and give it by --staple`,
      );
    }
  }
}

function subjectOf(response: Uint8Array, path: string, pairs: readonly ServerCredentials[]): number {
  let serials: readonly Uint8Array[];
  try {
    serials = (parseOcspResponse(response).basic?.responses ?? []).map(({ serialNumber }) => serialNumber);
  } catch (error) {
    throw badStaple(path, messageOf(error), error);
  }
  const at = pairs.findIndex(({ cert }) => {
    const { serialNumber } = parseCertificate(pemToDer(cert)[0]);
    return serials.some((serial) => sameBytes(serial, serialNumber));
  });
  if (at < 0) {
    throw badStaple(path, 'it says nothing of any certificate of --cert');
  }
  return at;
}

function badStaple(path: string, why: string, error?: unknown): Problem {
  const remedy = 'Fetch a new one: openssl ocsp … -respout FILE';
  return new Problem('bad_pem', `the OCSP response in ${path} cannot be stapled: ${why}`, remedy, error);
}

function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw fileProblem('read', path, error);
  }
}

/** @throws Problem `usage`, `file`, `bad_pem` */
function parseClients({ clientCa, clientCert = 'require' }: ServeFlags): SiteOptions['clients'] {
  if (clientCert !== 'require' && clientCert !== 'request') {
    throw new Problem('usage', `--client-cert: "${clientCert}" is not a choice`, 'Write require or request.');
  }
  return clientCa === undefined ? undefined : { ca: readCa(clientCa), required: clientCert === 'require' };
}

/** Each certificate must be able to sign in one of these ways. @throws Problem `usage` */
function checkSigalgs(credentials: ServerCredentials, { sigalgs }: ServeFlags, versions: Versions): void {
  if (sigalgs === undefined) {
    return;
  }
  const ours = allCredentials(credentials);
  try {
    for (const { cert, key } of ours) {
      createSecureContext({ cert, key, sigalgs: listOf(sigalgs), ...versionOptions(versions) });
    }
  } catch (error) {
    throw flagProblem(error);
  }
}

/** Each is looked at every two seconds. */
const MAX_PAIRS = 100;
