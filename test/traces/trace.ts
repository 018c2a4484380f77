/** The example handshakes of RFC 8448 as data: each section's steps, messages, records and values. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromHex } from '../../src/bytes/bytes.ts';
import { projectRoot } from '../support/project.ts';

export type Side = 'client' | 'server';

export interface TraceStep {
  readonly who: string;
  readonly what: string;
  readonly fields: ReadonlyMap<string, Uint8Array>;
}

interface VectorFile {
  readonly sections: readonly {
    readonly section: string;
    readonly steps: readonly {
      readonly who: string;
      readonly what: string;
      readonly fields: readonly { readonly name: string; readonly hex: string }[];
    }[];
  }[];
}

export class Trace {
  readonly section: number;
  readonly steps: readonly TraceStep[];

  constructor(section: number) {
    const found = file.sections.find((entry) => entry.section === String(section));
    assert.ok(found, `RFC 8448 §${section}`);
    this.section = section;
    this.steps = found.steps.map(({ who, what, fields }) => ({
      who,
      what,
      fields: new Map(fields.map(({ name, hex }) => [name, fromHex(hex)])),
    }));
  }

  /** A field of the nth step of this side whose description starts with `what`, among those that carry the field. */
  value(who: Side, what: string, field: string, nth = 0): Uint8Array {
    const found = this.steps.filter((step) => step.who === who && step.what.startsWith(what) && step.fields.has(field));
    const bytes = found[nth]?.fields.get(field);
    assert.ok(bytes, `§${this.section}: ${who} ${what}: ${field}`);
    return bytes;
  }

  /** The nth message of this name that the side makes, with its header; a ClientHello that offers a PSK lacks its binders. */
  message(who: Side, name: string, nth = 0): Uint8Array {
    return this.value(who, 'construct a', name, nth);
  }

  /** Every record that the side sends, in order. */
  records(who: Side): readonly Uint8Array[] {
    return this.steps
      .filter((step) => step.who === who && step.what.startsWith('send '))
      .map((step) => step.fields.get('complete record') as Uint8Array);
  }

  /** The nth ephemeral key that the side makes. */
  privateKey(who: Side, nth = 0): Uint8Array {
    return this.value(who, 'create an ephemeral', 'private key', nth);
  }

  /** A secret by its label, e.g. `c hs traffic`; whichever side shows it. */
  secret(label: string): Uint8Array {
    const found = this.steps.find((step) => step.what.includes(`"tls13 ${label}"`) && step.fields.has('expanded'));
    const bytes = found?.fields.get('expanded');
    assert.ok(bytes, `§${this.section}: ${label}`);
    return bytes;
  }

  /** The transcript hash that a secret was derived over. */
  hashFor(label: string): Uint8Array {
    const found = this.steps.find((step) => step.what.includes(`"tls13 ${label}"`) && step.fields.has('hash'));
    const bytes = found?.fields.get('hash');
    assert.ok(bytes, `§${this.section}: ${label}`);
    return bytes;
  }
}

const file = JSON.parse(readFileSync(join(projectRoot, 'test/vectors/rfc8448.json'), 'utf8')) as VectorFile;
