/** Files of certificates that a command is told to trust. */

import { readFileSync } from 'node:fs';
import { trustFor } from '../node/trust.ts';
import { fileProblem, messageOf, Problem } from './problem.ts';

/**
 * The PEM text of a file of certificates to trust.
 * @throws Problem `file`, `bad_pem`
 */
export function readCa(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw fileProblem('read', path, error);
  }
  if (!text.includes('-----BEGIN CERTIFICATE-----')) {
    throw new Problem('bad_pem', `${path} holds no certificate`, 'Give a PEM file with the certificates to trust.');
  }
  try {
    trustFor(text);
  } catch (error) {
    throw new Problem(
      'bad_pem',
      `${path}: ${messageOf(error)}`,
      'Give a PEM file with the certificates to trust.',
      error,
    );
  }
  return text;
}
