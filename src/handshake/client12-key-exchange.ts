/** The server's share in TLS 1.2, signed with its certificate's key. RFC 5246 §7.4.3, RFC 8422 §5.4, RFC 7919 §3. */

import type { PublicKey } from '../crypto/provider.ts';
import type { CipherSuite12 } from '../crypto/suites12.ts';
import { TLSError } from '../errors.ts';
import type { JoinedMessage } from '../messages/message-joiner.ts';
import { decodeServerKeyExchange, serverKeyExchangeContent } from '../messages/tls12/server-key-exchange.ts';
import type { ClientHandshake } from './client.ts';
import { offeredGroup12 } from './key-exchange12.ts';
import { present } from './present.ts';
import { takeScheme } from './signature-choice.ts';

export function onServerKeyExchange12(
  hs: ClientHandshake,
  message: JoinedMessage,
): 'ExpectCertificateRequestOrServerHelloDone12' {
  const tls12 = present(hs.tls12);
  const { suite, clientRandom, serverRandom, provider } = tls12.keysOptions;
  const { params, rawParams, scheme: code, signature } = decodeServerKeyExchange(message.body, suite.keyExchange);
  const group = offeredGroup12(hs.offer, params);
  const { acceptedSchemes } = hs.options;
  const scheme = takeScheme({ code, acceptedSchemes, version: 'TLSv1.2', peer: 'server' });
  checkKey(suite, present(hs.peerKey));
  const content = serverKeyExchangeContent(clientRandom, serverRandom, rawParams);
  if (!provider.verifyTls12(scheme, present(hs.peerKey), content, signature)) {
    throw new TLSError(
      'TLS_ERR_BAD_SIGNATURE',
      `the server's ${scheme} signature over its key exchange does not verify with its certificate's key`,
    );
  }
  hs.signatureScheme = scheme;
  tls12.group = group;
  tls12.serverPublicKey = params.publicKey;
  hs.transcript.add(message.raw);
  return 'ExpectCertificateRequestOrServerHelloDone12';
}

function checkKey(suite: CipherSuite12, key: PublicKey): void {
  const isRsa = key.type === 'rsa' || key.type === 'rsa-pss';
  if (isRsa !== (suite.authentication === 'rsa')) {
    throw new TLSError(
      'TLS_ERR_ILLEGAL_PARAMETER',
      `the server's certificate has a key of type ${key.type}, which ${suite.name} cannot be authenticated with`,
    );
  }
}
