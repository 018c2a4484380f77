/** A file for key log lines (SSLKEYLOGFILE, RFC 9850), for tools such as Wireshark. */

import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import type { Output } from './output.ts';
import { fileProblem } from './problem.ts';

export interface KeyLogFile {
  /** Appends a line, which ends in a line feed. */
  write(line: Uint8Array): void;
  close(): void;
}

/** @throws Problem `file` */
export function openKeyLog(path: string, output: Output): KeyLogFile {
  let file: number | undefined;
  try {
    file = openSync(path, 'a', 0o600);
  } catch (error) {
    throw fileProblem('write', path, error);
  }
  const status = fstatSync(file);
  const mode = status.mode & 0o777;
  if (status.isFile() && (mode & 0o044) !== 0 && process.platform !== 'win32') {
    output.warn(`${path} can be read by others (mode ${mode.toString(8)}): chmod 600 it, or give a file that is new`);
  }
  output.warn(`${path} gets the secrets of every connection: whoever has it can read them all. Remove it after use.`);
  const close = () => {
    if (file !== undefined) {
      closeSync(file);
      file = undefined;
    }
  };
  return {
    write(line) {
      if (file === undefined) {
        return;
      }
      try {
        writeSync(file, line);
      } catch (error) {
        // A full disk must not end the connections.
        output.warn(`the key log ended: ${fileProblem('write', path, error).line}`);
        close();
      }
    },
    close,
  };
}
