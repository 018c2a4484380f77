/**
 * What a client makes of the server's choice: of a group, of a PSK, or of both.
 *
 *     key_share alone            certificate, (EC)DHE
 *     key_share, pre_shared_key  psk_dhe_ke
 *     pre_shared_key alone       psk_ke: only where the host said so
 *
 * RFC 9846 §4.3.8, §4.3.9, §4.3.11.
 */

import { type NamedGroupInfo, namedGroupByCode } from '../crypto/groups.ts';
import type { CipherSuite } from '../crypto/suites.ts';
import { TLSError } from '../errors.ts';
import { type HandshakeSecret, handshakeSecretWithoutPsk } from '../keys/ladder.ts';
import type { ServerHello } from '../messages/server-hello.ts';
import type { ClientHandshake } from './client.ts';
import type { OfferedPsk } from './client-psks.ts';
import { warnOfPskKe } from './handshake-warning.ts';
import { present } from './present.ts';

/** Sets the group and the PSK, and returns the rung that they lead to; all that was offered beside them is erased. */
export function agree(hs: ClientHandshake, suite: CipherSuite, hello: ServerHello): HandshakeSecret {
  const { keyShare, selectedIdentity } = hello.extensions;
  const group = chosenGroup(hs, hello);
  const psk = selectedIdentity === undefined ? undefined : selectedPsk(hs, suite, selectedIdentity);
  if (psk === undefined && hs.options.externalPskRequired === true) {
    throw new TLSError('TLS_ERR_PSK_REQUIRED', 'the server chose no external PSK, and one is required');
  }
  hs.group = group;
  hs.psk = psk;
  hs.resumed = psk?.session !== undefined;
  if (group === undefined || keyShare === undefined) {
    warnOfPskKe(hs.host, 'client');
    return present(psk).early.toHandshakeSecretWithoutKeyExchange(suite);
  }
  const sharedSecret = present(hs.offer.takeShare(group.name)).agree(keyShare.keyExchange);
  return psk === undefined
    ? handshakeSecretWithoutPsk(hs.options.provider, suite, sharedSecret)
    : psk.early.toHandshakeSecret(suite, sharedSecret);
}

/** Undefined with psk_ke. */
function chosenGroup(hs: ClientHandshake, { extensions }: ServerHello): NamedGroupInfo | undefined {
  const { keyShare, selectedIdentity } = extensions;
  if (keyShare === undefined) {
    if (selectedIdentity === undefined) {
      throw new TLSError('TLS_ERR_MISSING_EXTENSION', 'the ServerHello has no key_share');
    }
    if (hs.options.dangerouslyAllowPskKe !== true) {
      throw new TLSError(
        'TLS_ERR_ILLEGAL_PARAMETER',
        'the server chose a PSK without key_share: only psk_dhe_ke was offered',
      );
    }
    if (hs.group !== undefined) {
      throw new TLSError(
        'TLS_ERR_ILLEGAL_PARAMETER',
        `the server asked for a share for ${hs.group.name}, and has none`,
      );
    }
    return undefined;
  }
  const group = namedGroupByCode(keyShare.group);
  if (group === undefined || !hs.offer.hasShare(group.name)) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the server chose group ${keyShare.group}, for which no share was sent`,
    );
  }
  return group;
}

function selectedPsk(hs: ClientHandshake, suite: CipherSuite, selectedIdentity: number): OfferedPsk {
  const psk = hs.offer.takePsk(selectedIdentity);
  if (psk === undefined) {
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `the server chose PSK ${selectedIdentity}, which was not offered`);
  }
  if (psk.hash !== suite.hash) {
    psk.early.erase('refused');
    throw new TLSError('TLS_ERR_ILLEGAL_PARAMETER', `the server chose ${suite.name}, whose hash is not the PSK's`);
  }
  return psk;
}
