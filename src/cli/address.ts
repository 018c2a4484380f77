/** `HOST:PORT` as commands take it: `localhost:8443`, `127.0.0.1:0`, `[::1]:443`, `:8443`, `example.org`. */

import { isIP } from '../node/plain.ts';
import { Problem } from './problem.ts';

export interface Address {
  /** A name or an address, without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface AddressRules {
  /** For messages, e.g. `--listen`. */
  readonly flag: string;
  readonly defaultHost?: string;
  readonly defaultPort?: number;
  /** For listening: port 0 means any free one, and a bare number is a port. */
  readonly listening?: boolean;
}

/** @throws Problem `usage` */
export function parseAddress(text: string, rules: AddressRules): Address {
  const parts = split(text, rules.listening === true);
  const host = parts?.host || rules.defaultHost;
  if (parts === undefined || host === undefined || /[\s/@?#]/.test(host)) {
    throw new Problem('usage', `${rules.flag}: "${text}" is not HOST:PORT`, example(rules));
  }
  const port = parts.port === undefined ? rules.defaultPort : Number(parts.port);
  if (port === undefined || port > 65_535 || (port === 0 && rules.listening !== true)) {
    throw new Problem(
      'usage',
      `${rules.flag}: "${text}" has no usable port`,
      `Ports are 1 to 65535. ${example(rules)}`,
    );
  }
  return { host, port };
}

/** The address for a URL or a message: IPv6 in brackets. */
export function formatAddress(address: Address): string {
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}

/** True for addresses that only this machine can reach. */
export function isLoopback(host: string): boolean {
  const bare = host.toLowerCase();
  return bare === 'localhost' || bare === '::1' || bare === '::ffff:127.0.0.1' || /^127(\.\d{1,3}){3}$/.test(bare);
}

function split(text: string, listening: boolean): { host: string; port?: string } | undefined {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(text);
  if (bracketed !== null && isIP(bracketed[1]) === 6) {
    return { host: bracketed[1], port: bracketed[2] };
  }
  if (isIP(text) === 6) {
    return { host: text };
  }
  if (listening && /^\d+$/.test(text)) {
    return { host: '', port: text };
  }
  const plain = /^([^:[\]]*)(?::(\d+))?$/.exec(text);
  return plain === null ? undefined : { host: plain[1], port: plain[2] };
}

function example(rules: AddressRules): string {
  const port = rules.defaultPort ?? 443;
  return `Write it like ${rules.defaultHost ?? 'example.org'}:${port} or [::1]:${port}.`;
}
