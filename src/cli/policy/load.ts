/** A policy by its name or from a JSON file. */

import { readFileSync, statSync } from 'node:fs';
import { type PolicyName, type PolicyOptions, presets, resolvePolicy } from '../../policy/policy.ts';
import { errorCode, fileProblem, messageOf, Problem } from '../problem.ts';

export const policyNames = Object.keys(presets) as PolicyName[];

export function isPolicyName(text: string): text is PolicyName {
  return Object.hasOwn(presets, text);
}

/** @throws Problem `usage` */
export function policyByName(name: string, flag: string): PolicyOptions {
  if (!isPolicyName(name)) {
    throw new Problem('usage', `${flag}: "${name}" is not a policy`, `There are ${policyNames.join(', ')}.`);
  }
  return { extends: name, name };
}

/** @throws Problem `file`, `usage` */
export function policyFromFile(path: string): PolicyOptions {
  let text: string;
  try {
    // A policy has thirty lines: what is larger is another file.
    if (statSync(path).size > MAX_LENGTH) {
      throw new Problem('usage', `${path} is not a policy: it has more than ${MAX_LENGTH} bytes`);
    }
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') {
      const hint = `Give the path of a JSON file, or one of ${policyNames.join(', ')}.`;
      throw new Problem('file', `cannot read ${path}: it does not exist`, hint, error);
    }
    throw error instanceof Problem ? error : fileProblem('read', path, error);
  }
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    throw new Problem('usage', `${path} is not JSON: ${messageOf(error)}`, 'See mayfly policy --help.', error);
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new Problem('usage', `${path} is not a policy`, 'It must be a JSON object, such as {"extends": "strict"}.');
  }
  const options = { name: path, ...given };
  try {
    resolvePolicy(options);
  } catch (error) {
    throw new Problem('usage', `${path}: ${messageOf(error)}`, undefined, error);
  }
  return options;
}

const MAX_LENGTH = 65_536;
