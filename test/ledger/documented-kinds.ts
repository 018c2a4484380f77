/** The table of kinds in docs/ledger.md. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../support/project.ts';

export interface KindRow {
  /** Kinds, and '' for none. */
  readonly parents: readonly string[];
}

/** The table: `kind`, … | what it is | `parent`, …, fresh, from outside, public | … */
export function documentedKinds(): Map<string, KindRow> {
  const text = readFileSync(join(projectRoot, 'docs', 'ledger.md'), 'utf8');
  const section = text.slice(text.indexOf('## Kinds'), text.indexOf('## What it costs'));
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  const names = (cell: string) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name);
  return new Map(
    rows.flatMap((row) => {
      const [, kinds, , from] = row.split('|');
      const parents = [...names(from), ...(/fresh|from outside|public/.test(from) ? [''] : [])];
      return names(kinds).map((kind): [string, KindRow] => [kind, { parents }]);
    }),
  );
}
