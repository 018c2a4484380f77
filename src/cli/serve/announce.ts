/** What `serve` says once it is up: what is served, where, how long keys live, how to trust it, what to try. */

import { relative } from 'node:path';
import pc from 'picocolors';
import { explainTheft } from '../../policy/explain.ts';
import type { Policy } from '../../policy/policy.ts';
import { renewalText } from '../../policy/weaker.ts';
import { type Address, formatAddress } from '../address.ts';
import { dateText } from '../certificates.ts';
import { formatDuration } from '../duration.ts';
import type { Output } from '../output.ts';
import { version } from '../package-root.ts';
import type { StatusServer } from '../status/server.ts';
import type { ServingFacts } from '../status/snapshot.ts';
import { paragraph, quote } from '../terminal.ts';
import { type Versions, versionName } from '../versions.ts';
import { allCredentials } from './certificate-table.ts';
import type { ServerCredentials } from './credentials.ts';
import type { PskFileFacts } from './psks.ts';
import type { SiteOptions } from './site.ts';

export interface Announcement {
  readonly output: Output;
  readonly facts: ServingFacts;
  readonly policy: Policy | undefined;
  readonly workers?: number;
  readonly credentials: ServerCredentials;
  readonly clients: SiteOptions['clients'];
  readonly psks?: PskFileFacts;
  readonly addresses: readonly Address[];
  readonly status: StatusServer | undefined;
}

export function announce(announcement: Announcement): void {
  const { output, facts, credentials, clients, addresses, status } = announcement;
  const statusUrl = status === undefined ? undefined : `http://${formatAddress(status.addresses[0])}`;
  output.event('listening', {
    urls: facts.urls,
    addresses: addresses.map(formatAddress),
    serving: facts.serving,
    status: statusUrl ?? null,
    versions: facts.versions,
    ring: {
      enabled: facts.ring.enabled,
      rotateSeconds: facts.ring.rotate / 1000,
      lifetimeSeconds: facts.ring.lifetime / 1000,
      sharedBy: facts.ring.sharedBy,
    },
    policy: announcement.policy?.name ?? null,
    workers: announcement.workers ?? null,
    certificate: { names: facts.certificate.names, notAfter: new Date(facts.certificate.notAfter).toISOString() },
    certificates: allCredentials(credentials).map(({ leaf: { names, key, notAfter } }) => ({
      names,
      key,
      notAfter: new Date(notAfter).toISOString(),
    })),
    clientCertificates: clients === undefined ? 'none' : clients.required ? 'required' : 'requested',
    preSharedKeys: announcement.psks?.count ?? 0,
    ca: credentials.development?.caPath ?? null,
    pid: process.pid,
  });
  for (const line of lines(announcement, statusUrl)) {
    output.say(line);
  }
}

function lines(
  { facts, policy, workers, credentials, clients, psks }: Announcement,
  statusUrl: string | undefined,
): string[] {
  const { ring } = facts;
  const isProxy = facts.serving.startsWith('http://');
  const text = [
    '',
    `  ${pc.bold(pc.green('Mayfly'))} ${pc.dim(version)} ${isProxy ? 'passes requests on to' : 'serves'} ${pc.bold(facts.serving)}`,
    '',
    ...facts.urls.map(
      (url) => `    ${pc.cyan(pc.underline(url))}  ${pc.dim(`HTTP/1.1 and HTTP/2 over ${spoken(facts.versions)}`)}`,
    ),
  ];
  if (statusUrl !== undefined) {
    text.push(`    ${pc.cyan(pc.underline(statusUrl))}  ${pc.dim('status page, for this machine only')}`);
  }
  text.push('', ...ringRows(facts, workers), ...(policy === undefined ? [] : policyRows(policy)));
  if (credentials.development === undefined) {
    text.push(...certificateRows(credentials));
  } else {
    text.push(...trust(credentials.development.caPath, credentials.development.isNew));
  }
  if (clients !== undefined) {
    text.push(
      row('Client', clients.required ? 'must show a certificate' : 'are asked for a certificate, and served without'),
    );
  }
  if (psks !== undefined) {
    text.push(row('Keys', `${psks.count} pre-shared: who has one needs no certificate`));
  }
  text.push(
    '',
    ...examples(reachable(facts.urls[0], credentials.leaf.names), credentials.development?.caPath, ring.enabled),
  );
  text.push('', `  ${pc.dim('Ctrl-C lets requests finish and erases the ticket keys; twice ends at once.')}`, '');
  return text;
}

function ringRows({ ring, versions }: ServingFacts, workers: number | undefined): string[] {
  if (!ring.enabled) {
    return [row('Ring', 'off: no session is remembered, every handshake is a full one')];
  }
  const total = formatDuration(ring.rotate + ring.lifetime);
  const rows: string[] = [];
  if (versions.includes('TLSv1.3')) {
    rows.push(
      `a new ticket key every ${formatDuration(ring.rotate)}; tickets good for ${formatDuration(ring.lifetime)}; each key erased after ${total}`,
    );
  }
  if (versions.includes('TLSv1.2')) {
    // Such a session holds the master secret: it lives no longer than one sealing period, and an hour in the cache.
    const byTicket = formatDuration(Math.min(ring.rotate, ring.lifetime));
    const byId = ring.sharedBy === 'process' ? formatDuration(Math.min(HOUR, ring.lifetime)) : byTicket;
    rows.push(`TLS 1.2 sessions: by ticket for ${byTicket}, by ID for ${byId} after their full handshake`);
  }
  if (ring.sharedBy === 'fleet') {
    rows.push(`shared with the fleet ${JSON.stringify(ring.fleetName)}: tickets from the first common key on, soon`);
  }
  if (workers !== undefined) {
    rows.push(`${workers} worker${workers === 1 ? '' : 's'} ${ring.sharedBy === 'fleet' ? 'in it' : 'share it'}`);
  }
  return rows.flatMap((text, i) => rowOver(i === 0 ? 'Ring' : '', text));
}

/** What it is called, and what it comes to. */
function policyRows(policy: Policy): string[] {
  const { past } = explainTheft(policy, 'ticketKeys');
  const tls12 = past.tls12 > 0 ? `TLS 1.2 sessions of the last ${formatDuration(past.tls12)}` : 'nothing of TLS 1.2';
  const early = past.earlyData > 0 ? ` but early data of the last ${formatDuration(past.earlyData)}` : '';
  const tls13 = past.tls13 > 0 ? `psk_ke of the last ${formatDuration(past.tls13)}` : `nothing of TLS 1.3${early}`;
  const opens = [
    ...(policy.versions.includes('TLSv1.2') ? [tls12] : []),
    ...(policy.versions.includes('TLSv1.3') ? [tls13] : []),
  ].join(', ');
  return [
    ...rowOver('Policy', `${policy.name}; keys in use renewed ${renewalText(policy.keyRenewal)}`),
    ...(policy.tickets ? rowOver('', `whoever steals the ticket keys opens ${opens}`) : []),
  ];
}

function certificateRows(credentials: ServerCredentials): string[] {
  const all = allCredentials(credentials);
  return all.flatMap(({ leaf: { names, subject, notAfter, key } }, at) => {
    const which = all.length === 1 ? '' : `; ${key}`;
    return rowOver(at === 0 ? 'Cert' : '', `${names.join(', ') || subject}, until ${dateText(notAfter)}${which}`);
  });
}

function spoken(versions: Versions): string {
  return versions.map(versionName).join(' and ').replace(' and TLS ', ' and ');
}

function trust(caPath: string, isNew: boolean): string[] {
  return [
    row('Cert', 'for localhost, 127.0.0.1 and ::1, by this user’s development CA'),
    row('CA', `${caPath}${isNew ? pc.yellow('  (made just now)') : ''}`),
    row('Trust', 'browsers: Settings → Certificates → Authorities → Import'),
    row('', 'Debian, Ubuntu:'),
    row('', `  sudo cp ${quote(caPath)} /usr/local/share/ca-certificates/mayfly.crt`),
    row('', '  sudo update-ca-certificates'),
    row('', 'macOS:'),
    row('', `  security add-trusted-cert -k ~/Library/Keychains/login.keychain-db ${quote(caPath)}`),
    row('', `Node.js: NODE_EXTRA_CA_CERTS=${quote(caPath)}`),
  ];
}

function examples(url: string, caPath: string | undefined, resumption: boolean): string[] {
  const ca = caPath === undefined ? '' : ` --cacert ${quote(caPath)}`;
  const ours = caPath === undefined ? '' : ` --ca ${quote(caPath)}`;
  const { host } = new URL(url);
  const list = [row('Try', `curl${ca} ${url}/`), row('', `curl${ca} --http1.1 -I ${url}/`)];
  if (resumption) {
    list.push(
      row('', `${commandName()} connect ${host}${ours} --session s.bin`),
      row('', pc.dim('(run it twice: the second resumes)')),
    );
  }
  return list;
}

/** How to run Mayfly again: by its name where it is installed, else by its file. */
function commandName(): string {
  const file = process.argv[1] ?? '';
  return file.endsWith('.js') ? `node ${quote(relative(process.cwd(), file))}` : 'mayfly';
}

function row(title: string, text: string): string {
  return `  ${pc.bold(title.padEnd(7))}${text}`;
}

/** The same over as many lines as it takes. */
function rowOver(title: string, text: string): string[] {
  return paragraph(text, row(title, ''));
}

/** What answers to that URL, for whoever comes from elsewhere: 0.0.0.0 and :: are no addresses to connect to. */
function reachable(url: string, names: readonly string[]): string {
  const name = names.find((one) => !one.startsWith('*') && !one.includes(':')) ?? 'localhost';
  return url.replace(/^https:\/\/(0\.0\.0\.0|\[::\])(?=:)/, `https://${name}`);
}

const HOUR = 3_600_000;
