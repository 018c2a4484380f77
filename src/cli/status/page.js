// Draws the snapshots that /events sends. All text goes in as text: names in it come from peers.

const byId = (id) => document.getElementById(id);
const setText = (id, text) => {
  const node = byId(id);
  if (node.textContent !== text) {
    node.textContent = text;
  }
};
const element = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

const refusalReasons = {
  unknown_key: 'its ticket key is erased, or was never ours',
  bad_ticket: 'the ticket does not authenticate',
  expired_ticket: 'the ticket is older than its lifetime',
  expired_handshake: 'the full handshake it rests on is too long ago',
  age_mismatch: 'the client’s view of its age is off: perhaps a replay',
  policy_changed: 'made for another name, protocol or certificate',
  client_untrusted: 'the client’s certificate is not trusted any more',
  suite_changed: 'made with a suite that was not offered again',
  version_changed: 'made with another TLS version',
  legacy_master_secret: 'made without extended master secret',
  no_psk_dhe_ke: 'the client would not do a fresh key exchange',
  disabled: 'resumption is off',
};

const failureReasons = {
  TLS_ERR_ALERT_RECEIVED: 'the peer gave up, e.g. for a certificate that it does not trust',
  TLS_ERR_PROTOCOL_VERSION: 'the peer speaks no version that is on here',
  TLS_ERR_NO_COMMON_SUITE: 'the peer offers no cipher suite that is forward secret and authenticated',
  TLS_ERR_EXTENDED_MASTER_SECRET: 'TLS 1.2 without extended master secret: an old peer',
  TLS_ERR_INAPPROPRIATE_FALLBACK: 'the peer fell back to an older version without need',
  TLS_ERR_NOT_TLS: 'something else than TLS came, e.g. plain HTTP',
  TLS_ERR_HANDSHAKE_TIMEOUT: 'the handshake was begun and not finished',
  TLS_ERR_TRUNCATED: 'the peer left in the middle of the handshake',
  ECONNRESET: 'the peer hung up: its good right, and not counted above',
  EPIPE: 'the peer hung up: its good right, and not counted above',
  'upstream: UPSTREAM': '502: it answered with what is no answer',
  'upstream: ECONNREFUSED': '502: nothing listens there',
  'upstream: ECONNRESET': '502: it hung up before it answered',
  'upstream: upstream': 'it broke off an answer, or fell silent in it',
  'upstream: client_left': 'the client left before it had its answer',
  'upstream: client_stalled': 'the client neither read nor sent for too long',
  'upstream: client_slow': 'the client was too slow while others waited',
  'upstream: QUEUE_FULL': '503: too many requests wait for a connection',
  'upstream: QUEUE_TIMEOUT': '503: no connection was free in time',
  'upstream: UND_ERR_HEADERS_TIMEOUT': '504: it did not answer in time',
  'upstream: UND_ERR_CONNECT_TIMEOUT': '504: it could not be connected to in time',
};

function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function span(milliseconds) {
  const total = Math.max(0, Math.round(milliseconds / 1000));
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  const seconds = total % 60;
  if (hours >= 48) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${String(minutes).padStart(2, '0')} min`;
  if (minutes > 0) return `${minutes} min ${String(seconds).padStart(2, '0')} s`;
  return `${seconds} s`;
}

const exact = (milliseconds) => span(milliseconds).replace(/ 00 (s|min)$/, '');
const clock = (time, withSeconds) =>
  new Date(time).toLocaleTimeString([], {
    hour: '2-digit',
    minute: '2-digit',
    ...(withSeconds ? { second: '2-digit' } : {}),
    hour12: false,
  });
const plural = (count, word) => `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`;

let state = JSON.parse(byId('snapshot').textContent);
// Ages go by the server's clock, which may differ from the reader's.
let skew = state.now - Date.now();
const serverNow = () => Date.now() + skew;

function drawTiles() {
  const { handshakes, connections, requests, secrets, failures } = state;
  const [most] = Object.entries(failures)
    .filter(([code]) => code.startsWith('TLS_'))
    .sort((a, b) => b[1] - a[1]);
  setText('full', handshakes.full.toLocaleString('en'));
  setText('resumed', handshakes.resumed.toLocaleString('en'));
  const all = Math.max(1, handshakes.full + handshakes.resumed);
  byId('ratio-full').style.width = `${(100 * handshakes.full) / all}%`;
  byId('ratio-resumed').style.width = `${(100 * handshakes.resumed) / all}%`;
  byId('ratio').setAttribute('aria-label', `${Math.round((100 * handshakes.resumed) / all)} % resumed`);
  setText(
    'ratio-text',
    state.resumptionRatio === undefined ? '' : `${(100 * state.resumptionRatio).toFixed(1)} % resumed`,
  );
  drawVersions();
  setText('open', connections.open.toLocaleString('en'));
  setText('total', `of ${connections.total.toLocaleString('en')} since the start`);
  setText('bytes', bytes(connections.bytesIn + connections.bytesOut));
  setText(
    'requests',
    plural(
      Object.values(requests).reduce((a, b) => a + b, 0),
      'request',
    ),
  );
  setText('failed', handshakes.failed.toLocaleString('en'));
  setText('failed-sub', most === undefined ? 'none so far' : `most: ${shortCode(most[0])}`);
  setText(
    'secrets',
    Object.values(secrets.live)
      .reduce((a, b) => a + b, 0)
      .toLocaleString('en'),
  );
  setText('secrets-sub', `${secrets.ended.toLocaleString('en')} erased`);
}

/** One line per version that is spoken: how its handshakes came about. */
function drawVersions() {
  const items = [...state.versions].reverse().map((version) => {
    const { full, ticket, id } = state.handshakes.byVersion[version];
    const item = element('li', '');
    item.dataset.version = version;
    item.append(element('b', '', versionName(version)), ` ${full.toLocaleString('en')} full`);
    item.append(` · ${ticket.toLocaleString('en')} by ticket`);
    if (version === 'TLSv1.2') item.append(` · ${id.toLocaleString('en')} by ID`);
    return item;
  });
  byId('versions').replaceChildren(...items);
}

const versionName = (version) => version.replace('TLSv', 'TLS ');

function drawCache() {
  const cache = state.sessionCache;
  byId('cache-panel').hidden = cache === undefined;
  if (cache === undefined) return;
  const facts = {
    kept: cache.entries.toLocaleString('en'),
    memory: bytes(cache.bytes),
    'per session': cache.entries === 0 ? '–' : bytes(cache.bytes / cache.entries),
    found: cache.hits.toLocaleString('en'),
    'not found': cache.misses.toLocaleString('en'),
    expired: cache.expired.toLocaleString('en'),
    'evicted early': cache.evicted.toLocaleString('en'),
  };
  byId('cache').replaceChildren(
    ...Object.entries(facts).map(([name, value]) => {
      const pair = element('div', '');
      pair.append(element('dt', '', name), element('dd', '', value));
      return pair;
    }),
  );
}

function drawUpstream() {
  const { upstream } = state;
  byId('upstream-panel').hidden = upstream === undefined;
  if (upstream === undefined) return;
  setText('upstream-text', 'connections to it, and the requests that are on their way');
  const answers = Object.values(upstream.firstByte).reduce((a, b) => a + b, 0);
  drawFactList('upstream', {
    'in use': `${number(upstream.busy - upstream.upgraded)} of ${number(upstream.limit)}`,
    WebSockets: number(upstream.upgraded),
    idle: number(upstream.idle),
    waiting: `${number(upstream.waiting)} of ${number(upstream.waitingLimit)}`,
    'held for slow clients': bytes(upstream.held),
    answers: number(answers),
    'to the first byte': answers === 0 ? '–' : milliseconds((1000 * upstream.firstByteSum) / answers),
  });
}

/** Of a mean. */
const milliseconds = (time) =>
  time < 10 ? `${time.toFixed(1)} ms` : time < 10_000 ? `${number(Math.round(time))} ms` : span(time);

const alarmTexts = {
  clock_skew: 'the clock here and that of the store differ: this member makes no keys',
  clock_behind: 'the clock here is so far behind the ring’s that this member gets no keys until the two agree',
  store_unreachable: 'the store could not be reached for half an epoch: sessions go on, a new host cannot join',
  no_fresh_epoch: 'tickets are sealed under a ratcheted key: no fresh one came',
  sealing_key_old: 'tickets are sealed under randomness that is older than two epochs',
  no_sealing_key: 'no key seals: handshakes are full',
  identity_shared: 'more processes run with one identity than are meant to: a copied file, or a thief',
  ring_full: 'more than 512 processes run, with all workers: some wait for each key; make two rings of them',
  evicted: 'this member was evicted: it gets no keys any more',
};

const seconds = (milliseconds) => `${milliseconds < 0 ? '−' : '+'}${(Math.abs(milliseconds) / 1000).toFixed(3)} s`;

function drawFactList(id, facts) {
  byId(id).replaceChildren(
    ...Object.entries(facts).map(([name, value]) => {
      const pair = element('div', '');
      pair.append(element('dt', '', name), element('dd', '', value));
      return pair;
    }),
  );
}

const refusedRecords = (counts) =>
  Object.entries(counts)
    .sort((a, b) => b[1] - a[1])
    .map(([reason, count]) => `${number(count)} ${reason.replaceAll('_', ' ')}`)
    .join(', ') || 'none';

/** Cells of text; a number is set to the right. */
function drawTable(id, rows) {
  const heads = [...document.querySelectorAll(`#${id} th`)];
  document.querySelector(`#${id} tbody`).replaceChildren(
    ...rows.map((cells) => {
      const row = element('tr', '');
      for (const [index, text] of cells.entries()) {
        const cell = element('td', heads[index].className, text);
        cell.dataset.label = heads[index].textContent;
        row.append(cell);
      }
      return row;
    }),
  );
}

function drawSharedRing() {
  const ring = state.sharedRing;
  byId('shared-panel').hidden = ring === undefined;
  if (ring === undefined) return;
  const ofFleet = state.ring.sharedBy === 'fleet';
  setText('shared-title', ofFleet ? `The fleet ${ring.fleetName}` : 'One ring for this machine');
  setText('shared-text', `as ${ring.seenBy} sees it, ring ${ring.ringId.slice(0, 16)}`);
  const sealing = ring.keys.find((key) => key.key === ring.sealingKey);
  drawFactList('shared', {
    epoch: sealing === undefined ? '–' : String(sealing.epoch),
    'key that seals': ring.sealingKey ?? 'none',
    'its age': ring.sealingKeyAge === undefined ? '–' : span(ring.sealingKeyAge),
    'next epoch’s key': ring.nextEpochPresent ? 'here' : 'not yet',
    'ratchet depth': String(ring.ratchetDepth),
    members: String(ring.members.length + 1),
    'flushes, evictions': String(ring.generation),
    'store visited': ring.lastVisit === undefined ? 'not yet' : `${span(ring.lastVisit.ago)} ago`,
    ...(ring.storeErrors === undefined ? {} : { 'store errors': number(ring.storeErrors) }),
    'clock here': ring.lastVisit === undefined ? '–' : seconds(ring.lastVisit.skew),
    'records refused': refusedRecords(ring.refusals),
  });
  byId('alarms').replaceChildren(
    ...ring.alarms.map((alarm) => element('li', '', `${alarmTexts[alarm] ?? alarm} (${alarm})`)),
  );
  drawTable(
    'members',
    ring.members.map((member) => [
      member.name,
      member.member,
      member.instance,
      `${span(serverNow() - member.announcedAt)} ago`,
      seconds(member.skew),
      member.ratchetDepth === 0 ? '–' : String(member.ratchetDepth),
      member.held.join(' ') || 'none',
    ]),
  );
}

function drawWorkers() {
  const { workers } = state;
  byId('workers-panel').hidden = workers === undefined;
  if (workers === undefined) return;
  setText(
    'workers-text',
    `all figures here are sums over them${workers.replaced === 0 ? '' : `; ${plural(workers.replaced, 'worker')} ended and ${workers.replaced === 1 ? 'was' : 'were'} replaced`}`,
  );
  drawTable(
    'workers',
    workers.running.map((worker) => [
      String(worker.worker),
      String(worker.pid),
      worker.sealingKey ?? 'no key yet',
      worker.full.toLocaleString('en'),
      worker.resumed.toLocaleString('en'),
      worker.open.toLocaleString('en'),
      bytes(worker.memory),
      span(serverNow() - worker.startedAt),
    ]),
  );
}

const shortCode = (code) =>
  code
    .replace(/^TLS_ERR_/, '')
    .toLowerCase()
    .replaceAll('_', ' ');

function drawRing() {
  const { ring } = state;
  const now = serverNow();
  const box = byId('ring');
  if (!ring.enabled || ring.keys.length === 0) {
    box.replaceChildren(
      element(
        'p',
        'empty',
        ring.enabled ? 'No key: no tickets are sent.' : 'Resumption is off: every handshake is a full one.',
      ),
    );
    setText('ring-text', '');
    return;
  }
  setText(
    'ring-text',
    `a new key every ${exact(ring.rotate)}, tickets good for ${exact(ring.lifetime)}, each key erased ${exact(ring.rotate + ring.lifetime)} after it began to seal`,
  );
  const keys = [...ring.keys].sort((a, b) => a.sealFrom - b.sealFrom);
  const from = Math.min(...keys.map((key) => Math.min(key.createdAt, key.sealFrom)));
  const until = Math.max(...keys.map((key) => key.openUntil));
  const place = (time) => (100 * (time - from)) / Math.max(1, until - from);
  box.replaceChildren(...keys.map((key) => drawKey(key, now, place)), drawAxis(from, until, now, place));
}

function drawKey(key, now, place) {
  const row = element('div', 'key');
  const name = element('div', 'name', key.name);
  name.append(element('small', '', `made ${span(now - key.createdAt)} ago`));
  const track = element('div', 'track');
  const segment = (kind, start, end) => {
    if (end <= start) return;
    // What has passed is pale: the line of now divides each segment.
    for (const [a, b, past] of [
      [start, Math.min(end, now), true],
      [Math.max(start, now), end, false],
    ]) {
      if (b <= a) continue;
      const bar = element('i', past ? `${kind} past` : kind);
      bar.style.left = `${place(a)}%`;
      bar.style.width = `${place(b) - place(a)}%`;
      track.append(bar);
    }
  };
  segment('waiting', key.createdAt, key.sealFrom);
  segment('sealing', key.sealFrom, key.sealUntil);
  segment('opening', key.sealUntil, key.openUntil);
  const line = element('i', 'now');
  line.style.left = `${place(now)}%`;
  track.append(line);

  const story = element('div', 'story');
  const strong = (text) => element('b', '', text);
  const erased = ['erased in ', strong(span(key.openUntil - now))];
  if (now < key.sealFrom) {
    story.append('waits: seals from ', strong(span(key.sealFrom - now)), ' on; ', ...erased);
  } else if (now < key.sealUntil) {
    story.append('seals for ', strong(span(key.sealUntil - now)), ' more, then only opens; ', ...erased);
  } else {
    story.append('only opens; ', ...erased);
  }
  story.append(` · ${plural(key.ticketsSealed, 'ticket')} sealed, ${key.ticketsOpened.toLocaleString('en')} opened`);
  row.append(name, track, story);
  return row;
}

function drawAxis(from, until, now, place) {
  const axis = element('div', 'axis');
  const marks = element('div');
  const withSeconds = until - from < 20 * 60_000;
  const mark = (time, className) => {
    const node = element('span', className, clock(time, withSeconds));
    node.style.left = `${place(time)}%`;
    marks.append(node);
  };
  mark(from, 'first');
  // Too close to an end, the mark of now would lie over that end's.
  const room = 100 * (76 / Math.max(1, byId('ring').clientWidth));
  if (place(now) > 1.6 * room && place(now) < 100 - 1.6 * room) mark(now, '');
  mark(until, 'last');
  axis.append(element('div'), marks);
  return axis;
}

const number = (count) => count.toLocaleString('en');

const loadColumns = [
  ['Page', '', (load) => load.path],
  ['HTTP', '', (load) => load.protocols.map((name) => (name === 'h2' ? '2' : '1.1')).join(', ')],
  ['TLS', '', (load) => load.versions.map((version) => version.replace('TLSv', '')).join(', ')],
  ['Requests', 'right', (load) => number(load.requests)],
  ['Connections', 'right', (load) => number(load.connections)],
  ['Opened', 'right', openedOf],
  ['Full', 'right', (load) => number(load.full)],
  ['Resumed', 'right', (load) => number(load.resumed)],
  ['Key exchanges', 'right', (load) => number(load.keyExchanges)],
  ['Traffic keys', 'right', (load) => number(load.trafficKeys.used)],
  ['In force', 'right', (load) => number(load.trafficKeys.inForce)],
];

/** Browsers open connections in advance, and may have no use for them. */
function openedOf({ opened, unused }) {
  return unused === 0 ? number(opened) : `${number(opened)}, ${number(unused)} idle`;
}

function drawVisitors() {
  const box = byId('visitors');
  if (state.visitors.length === 0) {
    box.replaceChildren(element('p', 'empty', `Nobody came yet. Open ${state.urls[0]} in a browser, and reload it.`));
    return;
  }
  const key = JSON.stringify(state.visitors);
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  box.replaceChildren(...state.visitors.map(drawVisitor));
}

function drawVisitor({ address, agent, loads, earlier }) {
  const part = element('div', 'visitor');
  const title = element('h3', '', agent);
  title.append(
    element('small', 'where', `at ${address}${earlier === 0 ? '' : `, ${plural(earlier, 'load')} before these`}`),
  );
  const table = element('table', 'loads');
  const head = element('tr');
  head.append(element('th', '', 'At'), ...loadColumns.map(([label, className]) => element('th', className, label)));
  const top = element('thead');
  top.append(head);
  const body = element('tbody');
  body.append(...loads.map(drawLoad));
  table.append(top, body);
  part.append(title, table);
  return part;
}

function drawLoad(load) {
  const row = element('tr', load.navigation ? '' : 'other');
  const cell = (label, className, text) => {
    const made = element('td', className, text);
    made.dataset.label = label;
    row.append(made);
    return made;
  };
  cell('At', 'at', clock(load.at, true));
  for (const [label, className, text] of loadColumns) {
    const made = cell(label, className, text(load));
    made.classList.toggle('zero', made.textContent === '0');
  }
  const page = row.querySelector('[data-label=Page]');
  page.classList.add('mono', 'page');
  page.title = load.navigation ? '' : 'requests that belong to no page that was opened here';
  const exchanges = row.querySelector('[data-label="Key exchanges"]');
  exchanges.classList.toggle('strong', load.keyExchanges > 0);
  row.querySelector('[data-label=Connections]').title = 'that carried its requests, also those that were there before';
  row.querySelector('[data-label="Traffic keys"]').title = 'that its requests went under: two to a connection';
  return row;
}

/** Trees of secrets that are shown, by connection. */
const trees = new Map();

async function toggleTree(id) {
  if (trees.has(id)) {
    trees.get(id).remove();
    trees.delete(id);
  } else {
    const row = element('tr', 'tree');
    const cell = element('td');
    cell.colSpan = 10;
    row.append(cell);
    trees.set(id, row);
    await drawTree(id);
  }
  drawConnections();
}

async function drawTree(id) {
  const row = trees.get(id);
  try {
    const response = await fetch(`/ledger.json?connection=${id}`);
    if (!response.ok) return;
    const tree = await response.json();
    const sum = `${plural(tree.alive, 'secret')} alive, ${number(tree.ended)} erased${tree.forgotten === 0 ? '' : `, ${number(tree.forgotten)} forgotten here`}. Names and sizes: no bytes are told.`;
    const list = element('ul', 'secrets');
    list.append(...tree.secrets.map((node) => drawSecret(node)));
    row.firstChild.replaceChildren(element('p', 'sub', sum), list);
  } catch {
    // The server is gone, which is told above.
  }
}

const endReasons = { spent: 'used up' };

function drawSecret(node) {
  const item = element('li', node.endedAt === undefined ? 'alive' : 'ended');
  const line = element('div', 'secret');
  line.append(element('b', 'kind', node.kind), element('span', '', node.length === 0 ? '' : bytes(node.length)));
  const words = [];
  if (node.owner !== undefined) words.push(ownerWords(node.owner));
  const { uses } = node;
  if (uses?.records !== undefined) words.push(`${plural(uses.records, 'record')}, ${bytes(uses.bytes)}`);
  if (uses?.sealed !== undefined) words.push(`${plural(uses.sealed, 'ticket')} sealed, ${number(uses.opened)} opened`);
  words.push(
    node.endedAt === undefined
      ? `alive for ${span(serverNow() - node.bornAt)}`
      : `${endReasons[node.why] ?? node.why} after ${lifetime(node.endedAt - node.bornAt)}`,
  );
  line.append(element('span', '', words.join(' · ')));
  item.append(line);
  if (node.children.length > 0) {
    const list = element('ul');
    list.append(...node.children.map((child) => drawSecret(child)));
    item.append(list);
  }
  return item;
}

function ownerWords(owner) {
  if (owner === null) return 'from outside';
  return owner.kind === 'ring' ? 'of the ring' : 'of another connection';
}

const lifetime = (milliseconds) =>
  milliseconds < 1 ? 'less than 1 ms' : milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : span(milliseconds);

const rows = new Map();

function drawConnections() {
  const { list, open } = state.connections;
  const body = document.querySelector('#connections tbody');
  setText('connections-text', open > list.length ? `the newest ${list.length} of ${open}` : '');
  const seen = new Set();
  for (const connection of list) {
    seen.add(connection.id);
    if (!rows.has(connection.id)) rows.set(connection.id, createRow(connection));
    updateRow(rows.get(connection.id), connection);
  }
  for (const [id, row] of rows) {
    if (!seen.has(id)) {
      row.node.remove();
      rows.delete(id);
      trees.get(id)?.remove();
      trees.delete(id);
    }
  }
  body.querySelector('.none')?.remove();
  const nodes = list.flatMap(({ id }) => (trees.has(id) ? [rows.get(id).node, trees.get(id)] : [rows.get(id).node]));
  nodes.forEach((node, index) => {
    if (body.children[index] !== node) body.insertBefore(node, body.children[index] ?? null);
  });
  for (const { id } of list) rows.get(id).toggle.setAttribute('aria-expanded', String(trees.has(id)));
  if (list.length === 0) {
    const row = element('tr', 'none');
    const cell = element('td', 'empty', 'Nobody is connected just now.');
    cell.colSpan = 10;
    row.append(cell);
    body.append(row);
  }
}

function createRow(connection) {
  const node = element('tr');
  const cell = (label, className, text) => {
    const made = element('td', className, text);
    made.dataset.label = label;
    node.append(made);
    return made;
  };
  const from = cell('From', 'mono from');
  const toggle = element('button', 'toggle', connection.remote);
  toggle.type = 'button';
  toggle.title = 'the secrets of this connection';
  toggle.addEventListener('click', () => toggleTree(connection.id));
  from.append(toggle);
  const session = cell('Session', '');
  const badge = element('span', 'badge', 'full');
  if (connection.resumed) {
    badge.className = 'badge resumed';
    badge.textContent = connection.resumedBy === 'id' ? 'resumed by ID' : 'resumed';
    badge.title = connection.resumedBy === 'id' ? 'by its session ID' : 'with a ticket';
  } else if (connection.refusal) {
    badge.className = 'badge refused';
    badge.textContent = `full: ${connection.refusal}`;
    badge.title = refusalReasons[connection.refusal] ?? '';
  }
  session.append(badge);
  const protocol = cell('Protocol', '');
  cell('Suite', 'suite', shortSuite(connection.cipherSuite)).title = connection.cipherSuite;
  const group = cell('Group', '', connection.namedGroup + (connection.helloRetried ? ' (retried)' : ''));
  if (connection.namedGroup === '') {
    group.textContent = 'none';
    group.classList.add('soft');
    group.title = 'TLS 1.2 resumes without a key exchange: with the master secret of the full handshake';
  }
  cell('Name', 'name', connection.serverName);
  return {
    node,
    toggle,
    protocol,
    requests: cell('Requests', 'right'),
    bytesIn: cell('In', 'right'),
    bytesOut: cell('Out', 'right'),
    age: cell('Age', 'right'),
  };
}

/** What protects the data: the rest of a TLS 1.2 name tells how the keys came about. */
const shortSuite = (name) =>
  name
    .replace(/^TLS_(\w+_WITH_)?/, '')
    .replace(/_SHA\d+$/, '')
    .replaceAll('_', '-');

function updateRow(row, connection) {
  const application = connection.upgraded ? 'WebSocket' : connection.alpnProtocol || 'http/1.1';
  row.protocol.textContent = `${versionName(connection.version)}, ${application}`;
  row.requests.textContent = connection.requests.toLocaleString('en');
  row.bytesIn.textContent = bytes(connection.bytesIn);
  row.bytesOut.textContent = bytes(connection.bytesOut);
  row.age.textContent = span(serverNow() - connection.openedAt);
}

function drawCounts(id, counts, empty, explain) {
  const entries = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .sort((a, b) => b[1] - a[1]);
  const list = byId(id);
  if (entries.length === 0) {
    list.replaceChildren(element('dt', 'empty', empty));
    list.firstChild.style.fontFamily = 'inherit';
    return;
  }
  list.replaceChildren(
    ...entries.flatMap(([name, count]) => {
      const term = element('dt', '', name);
      if (explain?.[name]) term.append(element('small', '', explain[name]));
      return [term, element('dd', '', count.toLocaleString('en'))];
    }),
  );
}

function drawFacts() {
  setText('serving', `${state.serving}  ·  ${state.urls.join('  ')}`);
  const until = new Date(state.certificate.notAfter).toISOString().slice(0, 10);
  const by = state.certificate.development ? ', by the development CA' : '';
  setText(
    'facts',
    `Mayfly ${state.mayfly}, Node.js ${state.node}, up ${span(serverNow() - state.startedAt)}, ${bytes(state.memory)} of memory. ` +
      `Certificate for ${state.certificate.names.join(', ')}${by}, until ${until}.`,
  );
}

function draw() {
  drawTiles();
  drawRing();
  drawSharedRing();
  drawWorkers();
  drawUpstream();
  drawCache();
  drawVisitors();
  drawConnections();
  drawCounts('refusals', state.resumptionRefusals, 'None: every session that was offered was resumed.', refusalReasons);
  const upstream = { ...state.upstreamFailures, ...state.upstream?.broken };
  drawCounts('failures', { ...state.failures, ...prefixed(upstream) }, 'None so far.', failureReasons);
  drawCounts('kinds', state.secrets.live, 'None.');
  drawFacts();
}

const prefixed = (counts) =>
  Object.fromEntries(Object.entries(counts).map(([name, count]) => [`upstream: ${name}`, count]));

function setLive(className, text) {
  const node = byId('live');
  node.className = `live ${className}`;
  setText('live', text);
}

const events = new EventSource('/events');
events.onmessage = (event) => {
  state = JSON.parse(event.data);
  skew = state.now - Date.now();
  setLive(state.draining ? 'draining' : 'on', state.draining ? 'draining' : 'live');
  draw();
  for (const id of trees.keys()) drawTree(id);
};
events.onerror = () => setLive('off', 'server gone');
draw();
