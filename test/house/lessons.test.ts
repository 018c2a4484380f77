/** docs/lessons.md names files and tests: all of them exist, under the names that it gives. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { projectRoot } from '../support/project.ts';

interface Lesson {
  readonly title: string;
  readonly tests: readonly { readonly file: string; readonly title: string }[];
  /** Files of the library that hold the construction. */
  readonly sources: readonly string[];
}

/** Before its first use, unlike other constants. */
const TEST_LINE = /^- `(test\/[^`]+\.test\.ts)`: “([^”]+)”$/;
const text = readFileSync(join(projectRoot, 'docs/lessons.md'), 'utf8');
const lessons = text.split(/^### /m).slice(1).map(readLesson);

describe('docs/lessons.md', () => {
  it('has fifteen lessons at least, each with a construction and a test', () => {
    assert.ok(lessons.length >= 15, `${lessons.length} lessons`);
    for (const { title, sources, tests } of lessons) {
      assert.ok(sources.length > 0, `${title}: no file of src`);
      assert.ok(tests.length > 0, `${title}: no test`);
    }
  });

  it('names files that exist', () => {
    const named = [...text.matchAll(/`((?:src|test)\/[^`]+)`/g)].map(([, file]) => file);
    assert.deepEqual(
      named.filter((file) => !existsSync(join(projectRoot, file))),
      [],
    );
  });

  it('names tests by the titles that they have', () => {
    for (const lesson of lessons) {
      for (const { file, title } of lesson.tests) {
        assert.ok(titlesIn(file).has(title), `${lesson.title}: ${file} has no test “${title}”`);
      }
    }
  });

  it('leaves no line about a test in another form, which nobody would check', () => {
    const listed = text.split('\n').filter((line) => line.startsWith('- '));
    assert.deepEqual(
      listed.filter((line) => !TEST_LINE.test(line)),
      [],
    );
    assert.equal(listed.length, lessons.flatMap(({ tests }) => tests).length);
  });
});

function readLesson(section: string): Lesson {
  const tests = section
    .split('\n')
    .map((line) => TEST_LINE.exec(line))
    .filter((match) => match !== null)
    .map(([, file, title]) => ({ file, title }));
  const sources = [...section.matchAll(/`(src\/[^`]+)`/g)].map(([, file]) => file);
  return { title: section.split('\n', 1)[0], tests, sources };
}

/** As they stand in the source: a title with a `${…}` in it stands for many tests. */
function titlesIn(file: string): ReadonlySet<string> {
  const source = readFileSync(join(projectRoot, file), 'utf8');
  const titles = [...source.matchAll(/\b(?:it|test)\(\s*(?:'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|`([^`]*)`)/g)];
  return new Set(titles.map(([, single, double, template]) => unescaped(single ?? double ?? template)));
}

function unescaped(literal: string): string {
  return literal.replace(/\\(.)/g, '$1');
}
