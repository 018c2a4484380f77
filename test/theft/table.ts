/** What each theft opened, in rows: opened / recorded. */

import type { Attacker } from './attacker.ts';
import type { Fleet } from './fleet.ts';

export interface TheftTable {
  add(stolen: string, thief: Attacker, fleet: Fleet): void;
  /** Number of the connection by psk_ke, which has a column of its own. */
  careless: number;
  readonly rows: number;
  readonly lines: readonly string[];
}

export function theftTable(): TheftTable {
  const rows: string[][] = [];
  const tried = new Set<Attacker>();
  return {
    careless: -1,
    add(stolen, thief, fleet) {
      tried.add(thief);
      rows.push([stolen, ...cells(thief, fleet, this.careless)]);
    },
    get rows() {
      return rows.length;
    },
    get lines() {
      const all = [HEAD, ...rows];
      const widths = HEAD.map((_, column) => Math.max(...all.map((row) => row[column].length)));
      const lines = all.map((row) =>
        row
          .map((cell, column) => cell.padEnd(widths[column]))
          .join('  ')
          .trimEnd(),
      );
      const attempts = [...tried].map(({ attempts: one }) =>
        Object.entries(one)
          .map(([what, count]) => `${count} ${what}`)
          .join(', '),
      );
      return [...lines, ...attempts.map((text) => `tried: ${text}`)];
    },
  };
}

function cells({ findings, storedSessions }: Attacker, fleet: Fleet, careless: number): string[] {
  const { epochSecrets, tickets, stored, connections, psks } = findings;
  const { conversations } = fleet;
  const count = (version: string) => {
    const numbers = [...conversations.keys()].filter((number) => conversations[number].version === version);
    const own = new Set(
      numbers.flatMap((number) => conversations[number].tickets.map((ticket) => Buffer.from(ticket).toString('hex'))),
    );
    const openTickets = [...own].filter((ticket) => tickets.has(ticket)).length;
    const usual = numbers.filter((number) => number !== careless);
    const open = usual.filter((number) => connections.has(number)).length;
    return [`${openTickets}/${own.size}`, `${open}/${usual.length}`];
  };
  const [tickets13, connections13] = count('TLSv1.3');
  const [tickets12, connections12] = count('TLSv1.2');
  const epochs = [...connections.keys()].map((number) => fleet.visits[number].epoch);
  const reach = epochs.length === 0 ? '-' : `${Math.min(...epochs)}..${Math.max(...epochs)} of 0..${fleet.epoch}`;
  return [
    String(epochSecrets),
    tickets13,
    `${psks.size}`,
    connections13,
    `${connections.has(careless) ? 1 : 0}/1`,
    tickets12,
    `${stored.size}/${storedSessions}`,
    connections12,
    reach,
  ];
}

const HEAD = [
  'stolen',
  'epoch secrets',
  '1.3 tickets',
  '1.3 PSKs',
  '1.3 connections',
  'by psk_ke',
  '1.2 tickets',
  '1.2 stored',
  '1.2 connections',
  'epochs read',
];
