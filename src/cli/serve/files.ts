/** Serves the files of one folder, over HTTP/1.1 and HTTP/2 alike: types, ETag, ranges, HEAD, nothing outside the folder. */

import { realpathSync, statSync } from 'node:fs';
import { pipeline } from 'node:stream';
import send from '@fastify/send';
import { fileProblem, Problem } from '../problem.ts';
import { answer, type Exchange } from './exchange.ts';

/**
 * A handler for the files under `folder`.
 * @throws Problem `file` when the folder is missing or is not one
 */
export function createFileHandler(folder: string): (exchange: Exchange) => void {
  const root = openFolder(folder);
  return (exchange) => {
    serve(root, exchange).catch((error: unknown) => {
      answer(exchange, 500, `The file cannot be sent: ${(error as Error).message}`);
    });
  };
}

async function serve(root: string, exchange: Exchange): Promise<void> {
  const { request, response } = exchange;
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    answer(exchange, 405, 'Only GET and HEAD are served here.', { allow: 'GET, HEAD' });
    return;
  }
  const path = (request.url ?? '/').split(/[?#]/, 1)[0];
  const result = await send(request, path === '' ? '/' : path, { root, dotfiles: 'ignore', index: ['index.html'] });
  if (result.type === 'error') {
    result.stream.destroy();
    answer(exchange, result.statusCode, errorTexts[result.statusCode] ?? 'This cannot be served.', result.headers);
    return;
  }
  // What was not declared as a script or a style must not be run as one.
  response.writeHead(result.statusCode, { ...result.headers, 'x-content-type-options': 'nosniff' });
  pipeline(result.stream, response, () => {});
}

const errorTexts: Record<number, string> = {
  400: 'The path cannot be decoded.',
  403: 'This is not served.',
  404: 'There is no such file.',
  412: 'The file has changed.',
  416: 'The file has no such range.',
};

function openFolder(folder: string): string {
  try {
    if (!statSync(folder).isDirectory()) {
      throw new Problem('file', `cannot serve ${folder}: it is not a folder`, 'Give a folder with --root DIR.');
    }
    return realpathSync(folder);
  } catch (error) {
    throw error instanceof Problem ? error : fileProblem('read', folder, error);
  }
}
