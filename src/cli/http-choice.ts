/** Which versions of HTTP a server speaks, and whether a connection of HTTP/1.1 carries more than one request. */

import { Problem } from './problem.ts';

/** 'close': HTTP/1.1, and each response ends its connection. */
export type HttpChoice = 'both' | '1' | '2' | 'close';

/** @throws Problem `usage` */
export function parseHttp(text: string): HttpChoice {
  if (text !== 'both' && text !== '1' && text !== '2' && text !== 'close') {
    throw new Problem('usage', `--http: "${text}" is not a choice`, 'Write 1, 2, close or both.');
  }
  return text;
}

/** For a server of HTTP/2 that may speak HTTP/1.1 too. */
export function protocolOptions(http: HttpChoice): { allowHTTP1: boolean; ALPNProtocols?: string[] } {
  switch (http) {
    case 'both':
      return { allowHTTP1: true };
    case '2':
      return { allowHTTP1: false };
    default:
      return { allowHTTP1: true, ALPNProtocols: ['http/1.1'] };
  }
}
