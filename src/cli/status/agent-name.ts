/** What a User-Agent says, in two words: browsers name half of their ancestors in it (RFC 9110 §10.1.5). */

/** "Firefox 140", "Chromium 138", "curl 8.5.0"; "unknown" for none. */
export function agentName(userAgent: string): string {
  for (const { pattern, name } of browsers) {
    const version = pattern.exec(userAgent)?.[1];
    if (version !== undefined) {
      return `${name} ${version}`;
    }
  }
  const [first = ''] = userAgent.split(' ', 1);
  const printable = first.replace(/[^\x21-\x7e]/g, '').slice(0, 40);
  return printable === '' ? 'unknown' : printable.replace('/', ' ');
}

/** Those whose names stand beside that of their engine go first. */
const browsers: readonly { readonly pattern: RegExp; readonly name: string }[] = [
  { pattern: /\bEdg(?:e|A|iOS)?\/(\d+)/, name: 'Edge' },
  { pattern: /\bOPR\/(\d+)/, name: 'Opera' },
  { pattern: /\b(?:Firefox|FxiOS)\/(\d+)/, name: 'Firefox' },
  { pattern: /\b(?:HeadlessChrome|Chromium|Chrome|CriOS)\/(\d+)/, name: 'Chromium' },
  { pattern: /\bVersion\/(\d+)[^ ]* .*Safari\//, name: 'Safari' },
];
