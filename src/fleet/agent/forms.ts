/**
 * The texts that tell a server of its key files; none holds a key.
 *
 *     nginx    an include for http{}: the first ssl_session_ticket_key seals, all open
 *     Envoy    a secret as SDS delivers it: the first key seals, all open
 */

import type { KeyPlan, PlannedKey } from './key-plan.ts';

/** The file of a key: its name never stands for other bytes, so that files are made and removed, and never changed. */
export function keyFileName(key: Pick<PlannedKey, 'id'>): string {
  return `${key.id}.key`;
}

/** What `keyFileName` makes, and what an agent that is killed while it writes one leaves behind (see key-folder.ts). */
export const KEY_FILE_NAME = /^(?:[0-9a-f]{16}\.key|\.[0-9a-f]{16}\.key\.new)$/;

/** @param timeout seconds for which nginx takes a ticket, whatever key opens it */
export function nginxInclude(folder: string, plan: KeyPlan, timeout: number): string {
  const head = '# Kept by mayfly ring agent: the first key seals, all open.\n';
  if (plan.length === 0) {
    return `${head}# No key seals now: handshakes are full.\nssl_session_tickets off;\n`;
  }
  const lines = plan.map((key) => `ssl_session_ticket_key ${folder}/${keyFileName(key)}; # ${roleText(key)}\n`);
  return `${head}ssl_session_tickets on;\nssl_session_timeout ${timeout}s;\n${lines.join('')}`;
}

/** Discovery response with one secret, for a `path_config_source`; Envoy takes it when its content changes. */
export function envoySecret(folder: string, secretName: string, keys: readonly Pick<PlannedKey, 'id'>[]): string {
  const files = keys.map((key) => ({ filename: `${folder}/${keyFileName(key)}` }));
  const secret = {
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
    name: secretName,
    session_ticket_keys: { keys: files },
  };
  return `${JSON.stringify({ resources: [secret] }, undefined, 2)}\n`;
}

function roleText({ role, fresh, sealFrom, sealUntil, endsAt }: PlannedKey): string {
  const time = (at: number) => `${new Date(at).toISOString().slice(0, 19)}Z`;
  switch (role) {
    case 'sealing':
      return `current: seals until ${time(sealUntil)}, opens until ${time(endsAt)}`;
    case 'waiting':
      return `next${fresh ? '' : ', if no fresh key comes'}: seals from ${time(sealFrom)}`;
    default:
      return `previous${fresh ? '' : ', of hosts that got no fresh key'}: opens until ${time(endsAt)}`;
  }
}
