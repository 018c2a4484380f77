/** What a command tells its user when it cannot go on: one line on what is wrong and what to do, and an exit code. */

import { errorTable, TLSError, type TLSErrorCode } from '../errors.ts';
import type { ExitName } from './exit-codes.ts';
import { harmlessLine } from './harmless.ts';

export class Problem extends Error {
  readonly exit: ExitName;
  /** What the user can do about it; a whole sentence. */
  readonly hint: string | undefined;

  constructor(exit: ExitName, what: string, hint?: string, cause?: unknown) {
    super(what, cause === undefined ? undefined : { cause });
    this.name = 'Problem';
    this.exit = exit;
    this.hint = hint;
  }

  /** Both sentences on one line. */
  get line(): string {
    const what = harmlessLine(this.message);
    return this.hint === undefined ? what : `${what}${/[.!?]$/.test(what) ? '' : '.'} ${harmlessLine(this.hint)}`;
  }
}

/** A problem with a file, from the error of the file system. */
export function fileProblem(action: 'read' | 'write', path: string, error: unknown): Problem {
  const code = errorCode(error);
  const reasons: Record<string, readonly [string, string]> = {
    ENOENT: ['it does not exist', 'Check the path.'],
    EACCES: ['permission denied', `Check who may ${action} it.`],
    EPERM: ['permission denied', `Check who may ${action} it.`],
    EISDIR: ['it is a folder', 'Give the path of a file.'],
    ENOTDIR: ['a part of the path is not a folder', 'Check the path.'],
    EROFS: ['the file system is read-only', 'Choose another path.'],
    ENOSPC: ['the disk is full', 'Make room or choose another path.'],
  };
  const [reason, hint] = reasons[code ?? ''] ?? [messageOf(error), 'Check the path.'];
  return new Problem('file', `cannot ${action} ${path}: ${reason}`, hint, error);
}

/** A problem with listening on `address`. */
export function listenProblem(address: string, flag: string, error: unknown): Problem {
  const choose = `choose another with ${flag} HOST:PORT.`;
  switch (errorCode(error)) {
    case 'EADDRINUSE':
      return new Problem(
        'port_busy',
        `cannot listen on ${address}: another program already does`,
        `Stop it, or ${choose}`,
        error,
      );
    case 'EACCES':
    case 'EPERM':
      return new Problem(
        'cannot_listen',
        `cannot listen on ${address}: not permitted`,
        `Ports below 1024 need privileges; ${choose}`,
        error,
      );
    case 'EADDRNOTAVAIL':
      return new Problem(
        'cannot_listen',
        `cannot listen on ${address}: this machine does not have that address`,
        `Use an address of this machine: ${choose}`,
        error,
      );
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new Problem(
        'cannot_listen',
        `cannot listen on ${address}: the name has no address`,
        `Use an address of this machine: ${choose}`,
        error,
      );
    default:
      return new Problem('cannot_listen', `cannot listen on ${address}: ${messageOf(error)}`, undefined, error);
  }
}

const exitOfTlsError: Partial<Record<TLSErrorCode, ExitName>> = {
  TLS_ERR_NOT_TLS: 'not_tls',
  TLS_ERR_TRUNCATED: 'connection_lost',
  TLS_ERR_HANDSHAKE_TIMEOUT: 'timeout',
  TLS_ERR_UNKNOWN_CA: 'untrusted',
  TLS_ERR_BAD_CERTIFICATE: 'untrusted',
  TLS_ERR_UNSUPPORTED_CERTIFICATE: 'untrusted',
  TLS_ERR_NO_CERTIFICATE: 'untrusted',
  TLS_ERR_CERTIFICATE_EXPIRED: 'expired',
  TLS_ERR_CERTIFICATE_REVOKED: 'revoked',
  TLS_ERR_BAD_STATUS: 'untrusted',
  TLS_ERR_CERTIFICATE_NAME: 'wrong_name',
  TLS_ERR_KEY_MISMATCH: 'key_mismatch',
  TLS_ERR_BAD_KEY: 'bad_pem',
  TLS_ERR_CONFIG: 'usage',
  TLS_ERR_NOT_SUPPORTED: 'usage',
  TLS_ERR_KEY_FOLDER: 'file',
  TLS_ERR_SERVER_NOT_TOLD: 'server_not_told',
};

const exitOfSystemError: Record<string, ExitName> = {
  ENOTFOUND: 'host_not_found',
  EAI_AGAIN: 'host_not_found',
  ECONNREFUSED: 'connection_refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  EACCES: 'unreachable',
  ETIMEDOUT: 'timeout',
  ECONNRESET: 'connection_lost',
  EPIPE: 'connection_lost',
};

const hints: Partial<Record<ExitName, string>> = {
  host_not_found: 'Check the spelling of the host.',
  connection_refused: 'Check the port, and that the server runs.',
  unreachable: 'Check the address and the network.',
  timeout: 'Check the address, or give it longer with --timeout.',
  not_tls: 'Check the port: TLS is often on 443, and some services start it only after a command (STARTTLS).',
  connection_lost: 'The server, or something on the way, hung up: its log may say why.',
  untrusted: 'If you trust the issuer, give its certificate with --ca FILE; --insecure looks at it all the same.',
  expired: 'The server needs a new certificate; check this machine’s clock too. --insecure looks at it all the same.',
  wrong_name: 'Check the host, or name the one you expect with --servername NAME.',
  revoked: 'Do not trust this server.',
  key_mismatch: 'Give the key that the certificate was issued for.',
};

/** The problem of a connection to `peer` that failed with `error`. */
export function connectionProblem(peer: string, failure: unknown): Problem {
  if (failure instanceof Problem) {
    return failure;
  }
  const error = ownError(failure);
  if (error instanceof TLSError) {
    const exit = exitOfTlsError[error.code] ?? 'handshake_failed';
    if (exit === 'usage') {
      return flagProblem(error);
    }
    const hint =
      error.code === 'TLS_ERR_ALERT_RECEIVED'
        ? (hintOfAlert[error.alert ?? ''] ?? 'The server refused; its log may say why.')
        : (hints[exit] ?? `(${error.code}, ${error.section})`);
    if (error.code === 'TLS_ERR_BAD_STATUS') {
      const remedy = 'It has to staple a newer OCSP response; --insecure looks at it all the same.';
      return new Problem(exit, `${peer}: ${harmlessLine(error.message)}`, remedy, error);
    }
    if (error.code === 'TLS_ERR_NOT_TLS') {
      return notTls(peer, error);
    }
    return new Problem(exit, `${peer}: ${harmlessLine(error.message)}`, hint, error);
  }
  const exit = exitOfSystemError[errorCode(error) ?? ''] ?? 'failure';
  const texts: Partial<Record<ExitName, string>> = {
    host_not_found: 'the host name has no address',
    connection_refused: 'connection refused',
    unreachable: 'no route to the host',
    timeout: 'no answer in time',
    connection_lost: 'the connection was reset during the handshake',
  };
  return new Problem(exit, `${peer}: ${texts[exit] ?? messageOf(error)}`, hints[exit], error);
}

/** What it speaks instead, where its first byte tells. */
function notTls(peer: string, error: TLSError): Problem {
  const first = Number(/first byte is (\d+)/.exec(error.message)?.[1]);
  const [what, hint] = otherProtocols[String.fromCharCode(first)] ?? [];
  return what === undefined || hint === undefined
    ? new Problem('not_tls', `${peer}: ${harmlessLine(error.message)}`, hints.not_tls, error)
    : new Problem('not_tls', `${peer}: the server does not speak TLS here, but ${what}`, hint, error);
}

const startTls = 'It may start TLS after a command (STARTTLS), which is not spoken here; try its port for TLS.';
const otherProtocols: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  H: ['what looks like plain HTTP', 'Its port for HTTPS is another one.'],
  '<': ['what looks like a page of plain HTTP', 'Its port for HTTPS is another one.'],
  S: ['what looks like SSH', 'Check the port.'],
  '2': ['what looks like SMTP or FTP', startTls],
  '*': ['what looks like IMAP', startTls],
  '+': ['what looks like POP3', startTls],
};

const hintOfAlert: Readonly<Record<string, string>> = {
  certificate_required: 'It wants to know who you are: give a certificate with --cert FILE --key FILE.',
  protocol_version: 'It speaks none of the TLS versions that were offered: what is older than 1.2 is not spoken here.',
  unrecognized_name: 'It serves nobody of that name: name another with --servername NAME.',
  no_application_protocol: 'It speaks none of the protocols of --alpn: name others, or give --alpn "" for none.',
  handshake_failure:
    'It found no suite, group or signature that both have, or in TLS 1.2 wants a certificate (--cert, --key): its log may say which.',
  insufficient_security: 'It wants stronger suites or groups than were offered: see --suite and --group.',
  unknown_ca: 'It does not trust who issued the certificate of --cert.',
  bad_certificate: 'It does not take the certificate of --cert.',
  certificate_expired: 'The certificate of --cert is expired; check this machine’s clock too.',
  certificate_revoked: 'The certificate of --cert was revoked.',
  access_denied: 'It knows who you are, and does not let you in.',
  decrypt_error: 'It says that a signature or a key of ours is wrong: with --psk-file, both ends need the same key.',
  unknown_psk_identity: 'It does not know the key of --psk-file: check its identity, and client= and server=.',
};

/** An option of the library that a flag stands for is named as the flag. */
export function flagProblem(error: unknown): Problem {
  if (!(error instanceof TLSError)) {
    return toProblem(error);
  }
  const exit = exitOfTlsError[error.code] ?? 'failure';
  const message = harmlessLine(error.message).replace(/^(\w+):/, (_, option) => `${flagOfOption[option] ?? option}:`);
  return new Problem(exit, message, undefined, error);
}

const flagOfOption: Readonly<Record<string, string>> = {
  groups: '--group',
  ecdhCurve: '--group',
  ciphers: '--suite',
  sigalgs: '--sigalgs',
  ALPNProtocols: '--alpn',
  encryptedClientHello: '--ech',
  externalPsks: '--psk-file',
};

/** Of a peer that hangs up in the handshake the socket tells as Node would: our error is the cause, and says more. */
export function ownError(error: unknown): unknown {
  return error instanceof Error && error.cause instanceof TLSError ? error.cause : error;
}

/** Any error as a problem; what nobody foresaw keeps its message and loses its stack. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) {
    return error;
  }
  if (error instanceof TLSError) {
    const exit = exitOfTlsError[error.code] ?? 'failure';
    return new Problem(exit, error.message || errorTable[error.code].summary, undefined, error);
  }
  return new Problem('failure', messageOf(error), 'Set MAYFLY_DEBUG=1 to see where it happened.', error);
}

/** The code of an error of Node or of the operating system, e.g. `ENOENT`. */
export function errorCode(error: unknown): string | undefined {
  const direct = (error as { code?: unknown } | undefined)?.code;
  if (typeof direct === 'string') {
    return direct;
  }
  // connect() to a name with several addresses fails with one error per address.
  const first = error instanceof AggregateError ? (error.errors[0] as { code?: unknown } | undefined) : undefined;
  return typeof first?.code === 'string' ? first.code : undefined;
}

export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return harmlessLine(text === '' ? 'unknown error' : text);
}
