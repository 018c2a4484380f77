/**
 * Exit codes of every command, so that scripts can tell what went wrong. Stable: a number never changes its meaning.
 */

export const exitCodes = {
  ok: { code: 0, meaning: 'done' },
  failure: { code: 1, meaning: 'a failure that has no code of its own' },
  usage: { code: 2, meaning: 'a wrong flag, argument or combination of flags' },
  file: { code: 3, meaning: 'a file or folder cannot be read or written' },
  bad_pem: { code: 4, meaning: 'a certificate, key or session file cannot be parsed' },
  key_mismatch: { code: 5, meaning: 'the private key does not belong to the certificate' },
  port_busy: { code: 6, meaning: 'another program listens on the port' },
  cannot_listen: { code: 7, meaning: 'the address cannot be listened on: not permitted, or not of this machine' },
  host_not_found: { code: 10, meaning: 'the host name has no address' },
  connection_refused: { code: 11, meaning: 'nobody accepts connections there' },
  unreachable: { code: 12, meaning: 'no way leads to the host' },
  timeout: { code: 13, meaning: 'no answer in time' },
  not_tls: { code: 14, meaning: 'the peer answered, but does not speak TLS' },
  connection_lost: { code: 15, meaning: 'the peer ended the connection in the middle of the handshake' },
  handshake_failed: { code: 16, meaning: 'the two sides found no agreement, or one broke the protocol' },
  untrusted: { code: 20, meaning: 'no trusted root stands behind the certificate, or its chain breaks a rule' },
  expired: { code: 21, meaning: 'a certificate is expired or not yet valid' },
  wrong_name: { code: 22, meaning: 'the certificate is for another name' },
  revoked: { code: 23, meaning: 'a certificate was revoked' },
  ring_alarm: { code: 30, meaning: 'the ring has an alarm' },
  server_not_told: { code: 31, meaning: 'the server that an agent drives could not be told of its ticket keys' },
  interrupted: { code: 130, meaning: 'ended at once by a second signal' },
} as const;

export type ExitName = keyof typeof exitCodes;

/** The number a process ends with. */
export function exitCode(name: ExitName): number {
  return exitCodes[name].code;
}
