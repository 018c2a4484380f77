/** What a server's configuration needs so that an agent can drive it. */

import { SECRET } from '../../../node/agent/envoy.ts';
import { KEY_FILE } from '../../../node/agent/haproxy.ts';
import { INCLUDE } from '../../../node/agent/nginx.ts';
import { formatDuration } from '../../duration.ts';
import type { AgentFlags } from '../agent.ts';
import { folderOf, type Setup } from './setup.ts';

export function snippetFor(flags: AgentFlags, setup: Setup): string {
  const { product, drain, ticketLifetime } = setup;
  switch (product) {
    case 'nginx':
      return `# nginx.conf, outside of all blocks: old workers keep old keys until they end
worker_shutdown_timeout ${formatDuration(drain)};

# in http { }, and in no server: nginx takes the keys of a socket's default server for all
include ${folderOf(flags)}/${INCLUDE};`;
    case 'haproxy':
      return `global
  stats socket ${flags.socket} mode 600 level admin expose-fd listeners
  tune.ssl.lifetime ${Math.ceil(ticketLifetime / 1000)}
  hard-stop-after ${formatDuration(drain)}

frontend …
  bind :443 ssl crt … tls-ticket-keys ${folderOf(flags)}/${KEY_FILE}`;
    case 'envoy':
      return `# in DownstreamTlsContext
session_ticket_keys_sds_secret_config:
  name: ${flags.secretName}
  sds_config:
    path_config_source:
      path: ${folderOf(flags)}/${SECRET}
    resource_api_version: V3
session_timeout: ${Math.ceil(ticketLifetime / 1000)}s`;
    default:
      return `# httpd.conf: no SSLSessionTicketKeyFile; the agent is started with --reload 'apachectl graceful'
GracefulShutdownTimeout ${Math.ceil(drain / 1000)}
SSLSessionCacheTimeout ${Math.ceil(ticketLifetime / 1000)}`;
  }
}
