/** External PSKs and connections that use them. */

import { utf8 } from '../../src/bytes/bytes.ts';
import { Secret } from '../../src/bytes/secret.ts';
import type { ServerContext } from '../../src/connection-options.ts';
import { nodeProvider } from '../../src/crypto/node-provider.ts';
import type { CipherSuiteName } from '../../src/crypto/suites.ts';
import { pskBinder } from '../../src/keys/finished.ts';
import { EarlySecret } from '../../src/keys/ladder.ts';
import {
  bindersLength,
  type ClientHelloExtensions,
  decodeClientHello,
  encodeClientHello,
} from '../../src/messages/client-hello.ts';
import { decodeServerHello, type ServerHello } from '../../src/messages/server-hello.ts';
import { type ExternalPsk, externalPskTable, type UsablePsk, usablePsks } from '../../src/session/external-psk.ts';
import type { Endpoint, Link, World } from '../support/connections.ts';
import { plaintext } from '../support/puppet.ts';

/** Bytes of the secret differ by `fill`. */
export function externalPsk(identity: string, changes: Partial<ExternalPsk> & { fill?: number } = {}): ExternalPsk {
  const { fill = 7, ...rest } = changes;
  return {
    identity: utf8(identity),
    externalPsk: Secret.create('externalPsk', 32, (bytes) => bytes.fill(fill)),
    ...rest,
  };
}

/** A context whose clients need no certificate of the server. */
export function pskContext(
  world: World,
  psks: readonly ExternalPsk[],
  changes: Partial<ServerContext> = {},
): ServerContext {
  return { ...world.context, credentials: [], externalPsks: externalPskTable(psks), ...changes };
}

/** The secrets of both connections end; the link stays to be looked at. */
export function end(link: Link): Link {
  link.client.connection.erase();
  link.server.connection.erase();
  return link;
}

export function codes(link: Link): [string | undefined, string | undefined] {
  return [link.client.error?.code, link.server.error?.code];
}

export interface Crafted {
  readonly psks: readonly UsablePsk[];
  readonly modes?: readonly number[];
  readonly change?: (extensions: ClientHelloExtensions) => ClientHelloExtensions;
  readonly cipherSuites?: readonly CipherSuiteName[];
}

/** A ClientHello, whose binders are right, with extensions that no client of ours would send so. */
export function craftHello(
  world: World,
  { psks, modes = [1], change = (same) => same, cipherSuites }: Crafted,
): Uint8Array {
  const client = world.client(cipherSuites === undefined ? {} : { cipherSuites }).start();
  const hello = decodeClientHello(client.flush().subarray(9));
  client.forget();
  const preSharedKey = {
    identities: psks.map(({ wireIdentity }) => ({ identity: wireIdentity, obfuscatedTicketAge: 0 })),
    binders: psks.map(({ hash }) => new Uint8Array(hash === 'sha256' ? 32 : 48)),
  };
  const extensions = change({ ...hello.extensions, pskKeyExchangeModes: modes, preSharedKey });
  const raw = encodeClientHello({ ...hello, extensions });
  const cut = raw.length - bindersLength(preSharedKey.binders);
  let at = cut + 2;
  for (const { kind, hash, psk } of psks) {
    const early = EarlySecret.create(nodeProvider, hash, psk);
    const binder = pskBinder(nodeProvider, hash, early.binderKey(kind), nodeProvider.hash(hash, raw.subarray(0, cut)));
    early.erase();
    raw.set(binder, at + 1);
    at += 1 + binder.length;
  }
  return raw;
}

/** What a server answers to it: its ServerHello, where there is one. */
export function offerTo(server: Endpoint, raw: Uint8Array): ServerHello | undefined {
  server.receive(plaintext(22, raw));
  const sent = server.flush();
  const answer =
    server.error === undefined ? decodeServerHello(sent.subarray(9, 5 + sent[3] * 256 + sent[4])) : undefined;
  return answer;
}

/** As a client offers it under SHA-256. */
export function usable(psk: ExternalPsk): UsablePsk {
  return usablePsks(nodeProvider, psk, ['sha256'])[0];
}
