/** What the message tests share: comparing messages by value, taking them apart, and the checks that every decoder passes. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { fromHex, toHex } from '../../src/bytes/bytes.ts';
import type { TLSErrorCode } from '../../src/errors.ts';
import { TLSError } from '../../src/errors.ts';
import { projectRoot } from '../support/project.ts';

/** A message as plain data: bytes as hex, without absent fields and without the record of types seen. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    return toHex(value);
  }
  if (Array.isArray(value)) {
    return value.map(plain);
  }
  if (typeof value === 'object' && value !== null) {
    const kept = Object.entries(value).filter(([name, field]) => field !== undefined && name !== 'types');
    return Object.fromEntries(kept.map(([name, field]) => [name, plain(field)]));
  }
  return value;
}

/** The body of a whole handshake message, after a check of its header. */
export function bodyOf(message: Uint8Array, type: number): Uint8Array {
  assert.equal(message[0], type);
  assert.equal((message[1] << 16) | (message[2] << 8) | message[3], message.length - 4);
  return message.subarray(4);
}

/** Asserts that the call throws the error with this code. */
export function refuses(code: TLSErrorCode, call: () => unknown): void {
  assert.throws(call, (error: unknown) => error instanceof TLSError && error.code === code);
}

/** All bytes that a decoded message holds. */
export function heldBytes(value: unknown, into: Uint8Array[] = []): Uint8Array[] {
  if (value instanceof Uint8Array) {
    into.push(value);
  } else if (typeof value === 'object' && value !== null) {
    for (const field of Object.values(value)) {
      heldBytes(field, into);
    }
  }
  return into;
}

/**
 * Decodes whatever it is given: the result holds no more than came in and none of the input's memory, or the failure is
 * a TLSError that sends an alert.
 */
export function decodesSafely(decode: (body: Uint8Array) => unknown, body: Uint8Array): void {
  let message: unknown;
  try {
    message = decode(body);
  } catch (error) {
    assert.ok(error instanceof TLSError, `threw ${error}`);
    assert.notEqual(error.alert, undefined);
    assert.equal(error.blame, 'peer');
    return;
  }
  let held = 0;
  for (const bytes of heldBytes(message)) {
    assert.notEqual(bytes.buffer, body.buffer, 'a field is a view of the input');
    assert.equal(bytes.buffer.byteLength, bytes.length, 'a field pins more memory than it shows');
    held += bytes.length;
  }
  assert.ok(held <= body.length, `${held} bytes are held of ${body.length}`);
}

/** A valid body with some bytes changed, cut, or doubled. */
export function mutationsOf(body: Uint8Array): fc.Arbitrary<Uint8Array> {
  const position = fc.nat({ max: Math.max(0, body.length - 1) });
  const changed = fc
    .array(fc.tuple(position, fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 })
    .map((changes) => {
      const copy = new Uint8Array(body);
      for (const [at, value] of changes) {
        copy[at] = value;
      }
      return copy;
    });
  const cut = position.map((length) => body.slice(0, length));
  const removed = fc.tuple(position, fc.integer({ min: 1, max: 8 })).map(([at, count]) => {
    return Uint8Array.from([...body.subarray(0, at), ...body.subarray(at + count)]);
  });
  const inserted = fc.tuple(position, fc.uint8Array({ minLength: 1, maxLength: 8 })).map(([at, more]) => {
    return Uint8Array.from([...body.subarray(0, at), ...more, ...body.subarray(at)]);
  });
  return fc.oneof(changed, cut, removed, inserted);
}

interface Trace {
  readonly sections: readonly {
    readonly section: string | number;
    readonly steps: readonly {
      readonly who: string;
      readonly what: string;
      readonly fields: readonly { readonly name: string; readonly hex: string }[];
    }[];
  }[];
}

const trace: Trace = JSON.parse(readFileSync(join(projectRoot, 'test/vectors/rfc8448.json'), 'utf8'));

/** Every handshake message of this name that RFC 8448 constructs in a section, by one side or both, in order. */
export function rfc8448Messages(section: number, name: string, who?: 'client' | 'server'): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (const step of trace.sections.find((candidate) => Number(candidate.section) === section)?.steps ?? []) {
    if (step.what.startsWith('construct a') && (who === undefined || step.who === who)) {
      found.push(...step.fields.filter((field) => field.name === name).map((field) => fromHex(field.hex)));
    }
  }
  return found;
}

/** Payloads of records that RFC 8448 sends in a section. */
export function rfc8448Payloads(section: number, who: 'client' | 'server'): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (const step of trace.sections.find((candidate) => Number(candidate.section) === section)?.steps ?? []) {
    if (step.who === who && step.what.startsWith('send')) {
      found.push(...step.fields.filter((field) => field.name === 'payload').map((field) => fromHex(field.hex)));
    }
  }
  return found;
}

/** One extension as it stands on the wire; `data` in hex. */
export function extension(type: number, data = ''): string {
  return `${hex16(type)}${hex16(data.length / 2)}${data}`;
}

/** A block of extensions with its length. */
export function block(...extensions: readonly string[]): string {
  return vector16(extensions.join(''));
}

/** Hex with its length in two bytes before it. */
export function vector16(data: string): string {
  return `${hex16(data.length / 2)}${data}`;
}

/** Hex with its length in one byte before it. */
export function vector8(data: string): string {
  return `${(data.length / 2).toString(16).padStart(2, '0')}${data}`;
}

export function hex16(value: number): string {
  return value.toString(16).padStart(4, '0');
}
