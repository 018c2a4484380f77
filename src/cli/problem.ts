/** What a command tells its user when it cannot go on: one line on what is wrong and what to do, and an exit code. */

import { errorTable, TLSError, type TLSErrorCode } from '../errors.ts';
import type { ExitName } from './exit-codes.ts';

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
    const what = oneLine(this.message);
    return this.hint === undefined ? what : `${what}${/[.!?]$/.test(what) ? '' : '.'} ${this.hint}`;
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
  untrusted: 'If you trust the issuer, give its certificate with --ca FILE.',
  expired: 'The server needs a new certificate; check this machine’s clock too.',
  wrong_name: 'Check the host, or name the one you expect with --servername NAME.',
  revoked: 'Do not trust this server.',
  key_mismatch: 'Give the key that the certificate was issued for.',
};

/** The problem of a connection to `peer` that failed with `error`. */
export function connectionProblem(peer: string, error: unknown): Problem {
  if (error instanceof Problem) {
    return error;
  }
  if (error instanceof TLSError) {
    const exit = exitOfTlsError[error.code] ?? 'handshake_failed';
    const hint =
      error.code === 'TLS_ERR_ALERT_RECEIVED'
        ? error.alert === 'certificate_required'
          ? 'It wants to know who you are: give a certificate with --cert FILE --key FILE.'
          : 'The server refused; its log may say why.'
        : (hints[exit] ?? `(${error.code}, ${error.section})`);
    return new Problem(exit, `${peer}: ${oneLine(error.message)}`, hint, error);
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
  return oneLine(text === '' ? 'unknown error' : text);
}

function oneLine(text: string): string {
  return text.replace(/\s*[\r\n]+\s*/g, ' ').trim();
}
