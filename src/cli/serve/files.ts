/**
 * Serves the files of one folder, over HTTP/1.1 and HTTP/2 alike: types, ETag, ranges, HEAD. Nothing outside the folder, but
 * for what symbolic links in it lead to: who can put them there is trusted.
 */

import { accessSync, constants, realpathSync, type Stats, statSync } from 'node:fs';
import { pipeline } from 'node:stream';
import send from '@fastify/send';
import { fileProblem, Problem } from '../problem.ts';
import { answer, type Exchange } from './exchange.ts';
import { isRefusal, refuse, targetOf } from './request-target.ts';

/**
 * A handler for the files under `folder`.
 * @throws Problem `file` when the folder is missing or is not one
 */
export function createFileHandler(folder: string): (exchange: Exchange) => void {
  const root = openFolder(folder);
  return (exchange) => {
    // Why is nobody's business out there: file systems name whole paths.
    serve(root, exchange).catch(() => answer(exchange, 500, 'The file cannot be sent.'));
  };
}

async function serve(root: string, exchange: Exchange): Promise<void> {
  const { request, response } = exchange;
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    answer(exchange, 405, 'Only GET and HEAD are served here.', { allow: 'GET, HEAD' });
    return;
  }
  const target = targetOf(request, '/');
  if (isRefusal(target)) {
    refuse(exchange, target);
    return;
  }
  const [path] = target.path.split('?', 1);
  const result = await send(request, path, { root, dotfiles: 'ignore', index: ['index.html'], onFile });
  if (result.type === 'error') {
    result.stream.destroy();
    answer(exchange, result.statusCode, errorTexts[result.statusCode] ?? 'This cannot be served.', result.headers);
    return;
  }
  if (result.type === 'directory') {
    result.stream.destroy();
    answer(exchange, 301, 'It is a folder.', { location: folderLocation(path) });
    return;
  }
  // What was not declared as a script or a style must not be run as one.
  response.writeHead(result.statusCode, { ...result.headers, 'x-content-type-options': 'nosniff' });
  pipeline(result.stream, response, () => {});
}

/** Whoever opens a named pipe waits for its writer, in one of the few threads that all files are read by. */
function onFile(_path: string, stat: Stats): void {
  if (!stat.isFile()) {
    throw new Error('not a file');
  }
}

/**
 * The path as it was asked for, with a slash at its end. It stays on this host: to a browser what begins with two slashes, or
 * with backslashes, is another one.
 */
function folderLocation(path: string): string {
  return `${path.replace(/^[/\\]+/, '/').replace(NOT_OF_A_PATH, encodeURIComponent)}/`;
}

/** RFC 3986 §3.3; what is encoded stays so. */
const NOT_OF_A_PATH = /[^\w.~!$&'()*+,;=:@%/-]/gu;

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
    // Without it every file in it would seem not to be there.
    accessSync(folder, constants.X_OK);
    return realpathSync(folder);
  } catch (error) {
    throw error instanceof Problem ? error : fileProblem('read', folder, error);
  }
}
