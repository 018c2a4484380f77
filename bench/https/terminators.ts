/** Programs that end TLS in front of one and the same server: `mayfly serve --upstream`, nginx, HAProxy; one worker each. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../free-port.ts';
import { toolPath } from '../tools.ts';
import { SIZES } from './paths.ts';
import type { Stage } from './processes.ts';

export interface Files {
  readonly cert: string;
  readonly key: string;
  /** Both in one. */
  readonly pem: string;
}

export interface Terminator {
  readonly name: string;
  /** The program it needs; none for our own. */
  readonly needs?: string;
  start(stage: Stage, files: Files, upstream: number): Promise<{ stop(): Promise<void>; readonly port: number }>;
}

const ours: Terminator = {
  name: 'mayfly serve',
  async start(stage, { cert, key }, upstream) {
    const port = await freePort();
    const main = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.js');
    const flags = [
      'serve',
      '--listen',
      `127.0.0.1:${port}`,
      '--cert',
      cert,
      '--key',
      key,
      '--no-status',
      '--http',
      '1',
    ];
    const child = await stage.start(
      process.execPath,
      [main, ...flags, '--upstream', `http://127.0.0.1:${upstream}`],
      port,
    );
    return { port, stop: () => stage.stop(child) };
  },
};

const nginx: Terminator = {
  name: 'nginx',
  needs: 'nginx',
  async start(stage, { cert, key }, upstream) {
    const port = await freePort();
    const server = `listen 127.0.0.1:${port} ssl;
      ssl_certificate ${cert};
      ssl_certificate_key ${key};
      ssl_protocols TLSv1.3;
      ssl_ecdh_curve X25519;
      location / { proxy_pass http://upstream; proxy_http_version 1.1; proxy_set_header Connection ""; }`;
    const child = await startNginx(
      stage,
      port,
      `upstream upstream { server 127.0.0.1:${upstream}; keepalive 64; }`,
      server,
    );
    return { port, stop: () => stage.stop(child) };
  },
};

const haproxy: Terminator = {
  name: 'HAProxy',
  needs: 'haproxy',
  async start(stage, { pem }, upstream) {
    const port = await freePort();
    const configuration = join(stage.folder, 'haproxy.cfg');
    writeFileSync(
      configuration,
      `global
  nbthread 1
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-bind-curves X25519
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  http-reuse always
frontend front
  bind 127.0.0.1:${port} ssl crt ${pem}
  default_backend back
backend back
  server upstream 127.0.0.1:${upstream}
`,
    );
    const child = await stage.start(toolPath('haproxy') as string, ['-db', '-q', '-f', configuration], port);
    return { port, stop: () => stage.stop(child) };
  },
};

/** The server behind all of them; nginx too, as the quickest at hand. Its port. */
export async function startUpstream(stage: Stage): Promise<number> {
  const port = await freePort();
  const locations = Object.entries(SIZES).map(
    ([path, size]) => `location = ${path} { return 200 "${'a'.repeat(Math.min(size, 4000))}"; }`,
  );
  await startNginx(stage, port, '', `listen 127.0.0.1:${port};\n${locations.join('\n')}`);
  return port;
}

function startNginx(stage: Stage, port: number, head: string, server: string): ReturnType<Stage['start']> {
  const name = `nginx-${port}`;
  const configuration = join(stage.folder, `${name}.conf`);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${join(stage.folder, `${name}-${kind}`)};`,
  );
  writeFileSync(
    configuration,
    `daemon off;
worker_processes 1;
pid ${join(stage.folder, `${name}.pid`)};
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 10000000;
  ${temporary.join('\n  ')}
  ${head}
  server { ${server} }
}
`,
  );
  return stage.start(toolPath('nginx') as string, ['-p', stage.folder, '-c', configuration, '-e', 'stderr'], port);
}

export const terminators: readonly Terminator[] = [ours, nginx, haproxy];
