/**
 * `serve --hsts`: browsers that have seen the header come by HTTPS alone.
 *
 *     Strict-Transport-Security: max-age=SECONDS[; includeSubDomains][; preload]
 *
 * RFC 6797 §6.1; `preload` is no word of the RFC, but of the lists that browsers are made with.
 */

import { Problem } from '../problem.ts';

/** The header's value, of `SECONDS[,includeSubDomains][,preload]`. @throws Problem `usage` */
export function parseHsts(text: string): string {
  const [age, ...words] = text.split(',').map((word) => word.trim());
  const seconds = Number(age);
  if (!/^\d+$/.test(age) || seconds > LONGEST) {
    throw new Problem(
      'usage',
      `--hsts: "${age}" is not a number of seconds from 0 to ${LONGEST}`,
      'Write 31536000 for a year; 0 has browsers forget it.',
    );
  }
  const known = words.map((word) => DIRECTIVES.find((one) => one.toLowerCase() === word.toLowerCase()));
  const unknown = known.indexOf(undefined);
  if (unknown >= 0 || new Set(known).size < known.length) {
    const what = unknown >= 0 ? `"${words[unknown]}" is not a choice` : 'a word stands there twice';
    throw new Problem('usage', `--hsts: ${what}`, `After the seconds there may be ${DIRECTIVES.join(' and ')}.`);
  }
  if (known.includes('preload') && (seconds < YEAR || !known.includes('includeSubDomains'))) {
    throw new Problem(
      'usage',
      '--hsts: the lists take preload only with includeSubDomains and for a year or more',
      `Write ${YEAR},includeSubDomains,preload, or leave preload out.`,
    );
  }
  return [`max-age=${seconds}`, ...known].join('; ');
}

const DIRECTIVES = ['includeSubDomains', 'preload'] as const;
/** Seconds. */
const YEAR = 31_536_000;
/** Ten years: more is a slip of the pen, which browsers would remember. */
const LONGEST = 10 * YEAR;
