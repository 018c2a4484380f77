/** The project's source files and what they import, as text: no compiler needed. */

import { readdirSync, readFileSync } from 'node:fs';
import { join, posix, relative, sep } from 'node:path';
import { projectRoot } from '../support/project.ts';

export interface Import {
  /** As written. */
  readonly specifier: string;
  /** `import type …` or `export type …`: gone when compiled. */
  readonly typeOnly: boolean;
  /** The imported file, relative to the project, with slashes; undefined for a package or a module of Node. */
  readonly file: string | undefined;
}

/** TypeScript files below a folder of the project, relative to the project, with slashes. */
export function sourceFiles(folder: string): string[] {
  return readdirSync(join(projectRoot, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(projectRoot, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

export function sourceText(file: string): string {
  return readFileSync(join(projectRoot, file), 'utf8');
}

export function importsOf(file: string): Import[] {
  const text = withoutComments(sourceText(file));
  const found: Import[] = [];
  for (const pattern of PATTERNS) {
    for (const match of text.matchAll(pattern)) {
      const { type, specifier } = match.groups as { type?: string; specifier: string };
      found.push({ specifier, typeOnly: type !== undefined, file: resolve(file, specifier) });
    }
  }
  return found;
}

function resolve(from: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : undefined;
}

/** Line and block comments; a URL inside a string keeps its slashes, as those follow a colon. */
export function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:'"`])\/\/[^\n]*/g, '$1');
}

const PATTERNS = [
  /(?:^|\n)\s*(?:import|export)\s+(?<type>type\s+)?(?:[\w*\s{},$]+?)\s+from\s+'(?<specifier>[^']+)'/g,
  /(?:^|\n)\s*import\s+'(?<specifier>[^']+)'/g,
  /\b(?:import|require)\(\s*'(?<specifier>[^']+)'\s*\)/g,
];
