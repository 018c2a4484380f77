/** The certificate and key a server shows: read from files and checked, or made by the development CA. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseCertificate } from '../../certificates/certificate.ts';
import { createDevelopmentCa, issueServerCertificate, type PemPair } from '../../certificates/development-ca.ts';
import { keyMatchesCertificate } from '../../certificates/key-match.ts';
import { pemToDer } from '../../certificates/pem.ts';
import { nodeProvider } from '../../crypto/node-provider.ts';
import { type CertificateDescription, dateText, describeCertificate } from '../certificates.ts';
import type { Output } from '../output.ts';
import { fileProblem, messageOf, Problem } from '../problem.ts';
import { openStateFolder, readOwnFile, stateFolder, writeOwnFile } from './state-folder.ts';

export interface ServerCredentials {
  /** PEM, leaf first. */
  readonly cert: string;
  readonly key: string;
  readonly leaf: CertificateDescription;
  /** To staple, DER. */
  readonly ocspResponse?: Uint8Array;
  /** Further ones, of other keys or for other names; only beside the first. */
  readonly others?: readonly ServerCredentials[];
  /** Only when the certificate was made by the development CA. */
  readonly development?: {
    /** Where its certificate lies. */
    readonly caPath: string;
    readonly caPem: string;
    /** Made just now, so that nothing can trust it yet. */
    readonly isNew: boolean;
  };
}

const DAY = 86_400_000;

/**
 * A chain and its key, of a server or a client.
 * @throws Problem `file`, `bad_pem`, `key_mismatch`, `expired`
 */
export function credentialsFromFiles(certPath: string, keyPath: string, output: Output): ServerCredentials {
  const cert = readPem(certPath);
  const key = readPem(keyPath);
  const chain = parseChain(cert, certPath);
  const leaf = chain[0];
  checkKey(key, keyPath, chain, certPath);
  checkDates(describeCertificate(leaf), certPath, output);
  return { cert, key, leaf: describeCertificate(leaf) };
}

/**
 * A certificate for localhost, 127.0.0.1 and ::1 from this user's development CA, which is made when there is none.
 * The CA lies in the state folder, for its owner alone; the server's own key is new at each start and only in memory.
 * @throws Problem `file`
 */
export function developmentCredentials(output: Output): ServerCredentials {
  const folder = stateFolder();
  openStateFolder(folder);
  const caPath = join(folder, 'ca.pem');
  const keyPath = join(folder, 'ca-key.pem');
  const kept = readCa(caPath, keyPath, output);
  const now = Date.now();
  const ca = kept ?? createDevelopmentCa({ now });
  if (kept === undefined) {
    writeOwnFile(keyPath, ca.privateKeyPem);
    writeOwnFile(caPath, ca.certificatePem);
  }
  const issued = issueServerCertificate({ ca, names: ['localhost', '127.0.0.1', '::1'], now });
  return {
    cert: issued.certificatePem,
    key: issued.privateKeyPem,
    leaf: describeCertificate(pemToDer(issued.certificatePem)[0]),
    development: { caPath, caPem: ca.certificatePem, isNew: kept === undefined },
  };
}

/** The CA of an earlier run, unless there is none, it is damaged, or it is about to expire. */
function readCa(caPath: string, keyPath: string, output: Output): PemPair | undefined {
  const certificatePem = readOwnFile(caPath);
  const privateKeyPem = readOwnFile(keyPath);
  if (certificatePem === undefined || privateKeyPem === undefined) {
    return undefined;
  }
  try {
    const der = pemToDer(certificatePem)[0];
    if (!keyMatchesCertificate(nodeProvider.importPrivateKey(privateKeyPem).publicKeySpki, parseCertificate(der))) {
      output.warn(`the key in ${keyPath} is not the one of ${caPath}: a new development CA was made`);
      return undefined;
    }
    if (describeCertificate(der).notAfter < Date.now() + 30 * DAY) {
      output.warn(`the development CA in ${caPath} was about to expire: a new one was made, trust it anew`);
      return undefined;
    }
    return { certificatePem, privateKeyPem };
  } catch {
    output.warn(`the development CA in ${caPath} cannot be read as one: a new one was made`);
    return undefined;
  }
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw fileProblem('read', path, error);
  }
}

function parseChain(pem: string, path: string): Uint8Array[] {
  let chain: Uint8Array[] = [];
  let detail = '';
  try {
    chain = pemToDer(pem);
    chain.forEach(parseCertificate);
  } catch (error) {
    detail = `: ${messageOf(error)}`;
  }
  if (chain.length === 0 || detail !== '') {
    const what = pem.includes('PRIVATE KEY-----') ? `${path} holds a private key, not a certificate` : undefined;
    throw new Problem(
      'bad_pem',
      what ?? `${path} holds no certificate that can be read${detail}`,
      'Give a PEM file with the end’s own certificate first, then its issuers.',
    );
  }
  return chain;
}

function checkKey(key: string, keyPath: string, chain: readonly Uint8Array[], certPath: string): void {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(key)) {
    throw new Problem(
      'bad_pem',
      `the private key in ${keyPath} is encrypted with a passphrase`,
      'Give a copy without one, readable by this user alone: openssl pkey -in KEY -out NEW',
    );
  }
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(key)) {
    throw new Problem('bad_pem', `${keyPath} holds no private key`, 'Give a PEM file with the private key.');
  }
  const matches = chain.map((certificate) => belongs(key, keyPath, certificate));
  if (matches[0]) {
    return;
  }
  if (matches.includes(true)) {
    throw new Problem(
      'bad_pem',
      `the certificates in ${certPath} are in the wrong order`,
      'Put the end’s own certificate first, then its issuers.',
    );
  }
  throw new Problem(
    'key_mismatch',
    `the private key in ${keyPath} does not belong to the certificate in ${certPath}`,
    'Give the key that the certificate was issued for.',
  );
}

function belongs(key: string, keyPath: string, certificate: Uint8Array): boolean {
  try {
    return keyMatchesCertificate(nodeProvider.importPrivateKey(key).publicKeySpki, parseCertificate(certificate));
  } catch (error) {
    const text = `the private key in ${keyPath} cannot be used: ${messageOf(error)}`;
    throw new Problem('bad_pem', text, 'Give an EC, Ed25519, Ed448 or RSA key in PEM.', error);
  }
}

function checkDates(leaf: CertificateDescription, path: string, output: Output): void {
  const now = Date.now();
  if (leaf.notAfter < now) {
    const day = dateText(leaf.notAfter);
    throw new Problem('expired', `the certificate in ${path} expired on ${day}`, 'Have it renewed: nobody accepts it.');
  }
  if (leaf.notBefore > now) {
    throw new Problem(
      'expired',
      `the certificate in ${path} is not valid before ${new Date(leaf.notBefore).toISOString()}`,
      'Wait, or check this machine’s clock.',
    );
  }
  if (leaf.notAfter < now + 7 * DAY) {
    output.warn(`the certificate in ${path} expires on ${dateText(leaf.notAfter)}`);
  }
}
