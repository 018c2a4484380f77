/** Asks listeners of 'OCSPRequest' for the OCSPResponse to staple. */

import { TLSError } from '../errors.ts';
import { asTlsError, type OcspCallback } from './server-driver-options.ts';

/** Calls one of the two, once: `told` with the response, or undefined for none. */
export function askForStatus(
  ask: (callback: OcspCallback) => void,
  told: (response: Uint8Array | undefined) => void,
  failed: (error: TLSError) => void,
): void {
  let answered = false;
  const answer: OcspCallback = (error, response) => {
    if (answered) {
      return;
    }
    answered = true;
    if (error) {
      failed(asTlsError(error));
    } else if (response === undefined || response === null) {
      told(undefined);
    } else if (ArrayBuffer.isView(response) && response.length > 0) {
      told(new Uint8Array(response));
    } else {
      failed(new TLSError('TLS_ERR_CONFIG', 'OCSPRequest: expected the bytes of an OCSPResponse'));
    }
  };
  try {
    ask(answer);
  } catch (error) {
    answer(error instanceof Error ? error : new Error(String(error)));
  }
}
