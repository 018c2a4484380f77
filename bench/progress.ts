/** One line that is written over on a terminal; nothing elsewhere, where it would only fill a log. */
export function progress(text: string): void {
  if (process.stderr.isTTY) {
    process.stderr.write(`\r\x1b[2K${text}`);
  }
}

/** A line that stays, for those who wait. */
export function note(text: string): void {
  progress('');
  process.stderr.write(`${text}\n`);
}
