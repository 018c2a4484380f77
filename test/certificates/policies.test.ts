/** Certificate policies. RFC 5280 §6.1, RFC 9618. */

import { test } from 'node:test';
import { concat } from '../../src/bytes/bytes.ts';
import { derElement, derInteger, derOid, derSequence } from '../../src/certificates/der-writer.ts';
import { extensionOids, OID_ANY_POLICY } from '../../src/certificates/oids.ts';
import { extension, make, makeIntermediate, makeLeaf, makeRoot, policies } from './builder.ts';
import { refused, verify } from './checks.ts';

const root = makeRoot();
const A = '1.2.3.1';
const B = '1.2.3.2';

/** policyConstraints with requireExplicitPolicy and inhibitPolicyMapping. */
function constraints(explicit: number | undefined, mapping?: number, critical = true): Uint8Array {
  const part = (tag: number, value: number | undefined) =>
    value === undefined ? new Uint8Array(0) : derElement(tag, Uint8Array.of(value));
  return extension(
    extensionOids.policyConstraints,
    critical,
    derSequence(concat(part(0x80, explicit), part(0x81, mapping))),
  );
}

function mappings(...pairs: readonly (readonly [string, string])[]): Uint8Array {
  const value = derSequence(...pairs.map(([from, to]) => derSequence(derOid(from), derOid(to))));
  return extension(extensionOids.policyMappings, true, value);
}

function inhibitAny(skip: number): Uint8Array {
  return extension(extensionOids.inhibitAnyPolicy, true, derInteger(skip));
}

/** A chain of intermediates and a leaf, top down, each with these extensions. */
function check(...levels: readonly (readonly Uint8Array[])[]): void {
  let issuer = root;
  const chain = levels.map((more, i) => {
    issuer =
      i === levels.length - 1 ? makeLeaf(issuer, { more }) : makeIntermediate(issuer, { subject: `Level ${i}`, more });
    return issuer;
  });
  verify(chain.reverse(), [root]);
}

function fails(...levels: readonly (readonly Uint8Array[])[]): void {
  refused(() => check(...levels), 'TLS_ERR_BAD_CERTIFICATE', /certificate policy/);
}

test('policies without a demand for one never matter', () => {
  check([policies(A)], [policies(B)]);
  check([], [policies(B)]);
  check([policies(A)], []);
});

test('an explicit policy must be valid along the whole path once it is demanded', () => {
  check([policies(A), constraints(0)], [policies(A)]);
  check([policies(A, B), constraints(0)], [policies(B)]);
  check([policies(OID_ANY_POLICY), constraints(0)], [policies(B)]);
  check([policies(A), constraints(0)], [policies(OID_ANY_POLICY)]);
  fails([policies(A), constraints(0)], [policies(B)]);
  fails([policies(A), constraints(0)], []);
  fails([constraints(0)], [policies(A)]);
  fails([policies(A)], [policies(A), constraints(0)], [policies(B)]);
});

test('the demand may begin further down, and in the leaf itself', () => {
  check([policies(A), constraints(2)], [policies(B)]);
  fails([policies(A), constraints(1)], [policies(A)], [policies(B)]);
  fails([policies(A)], [policies(B), constraints(0)]);
  check([policies(A)], [policies(A), constraints(0)]);
});

test('a policy is followed through mappings, until these are inhibited', () => {
  check([policies(A), mappings([A, B]), constraints(0)], [policies(B)]);
  fails([policies(A), mappings([A, B]), constraints(0)], [policies(A)]);
  check([policies(OID_ANY_POLICY), mappings([A, B]), constraints(0)], [policies(B)]);
  fails([policies(A), constraints(0, 0)], [policies(A), mappings([A, B])], [policies(B)]);
  check([policies(A), constraints(0, 1)], [policies(A), mappings([A, B])], [policies(B)]);
});

test('anyPolicy counts until it is inhibited', () => {
  check([policies(A), constraints(0), inhibitAny(1)], [policies(OID_ANY_POLICY)], [policies(A)]);
  fails([policies(A), constraints(0), inhibitAny(0)], [policies(OID_ANY_POLICY)], [policies(A)]);
  fails([policies(A), constraints(0), inhibitAny(0)], [policies(OID_ANY_POLICY)]);
});

test("an anchor's own policy constraints apply", () => {
  const demanding = makeRoot({ subject: 'Demanding', more: [constraints(0)] });
  verify([makeLeaf(demanding, { more: [policies(A)] })], [demanding]);
  refused(() => verify([makeLeaf(demanding)], [demanding]), 'TLS_ERR_BAD_CERTIFICATE', /certificate policy/);
});

test('another root is tried when the policies of one path fail', () => {
  const demanding = makeRoot({ subject: 'Demanding', more: [constraints(0)] });
  const easy = makeRoot({ subject: 'Easy' });
  const under = makeIntermediate(demanding);
  const twin = make({ subject: 'Test intermediate', ca: true, key: under.key, issuer: easy });
  verify([makeLeaf(under), under, twin], [demanding, easy]);
});

test('mapping anyPolicy, a policy twice, empty or non-critical policyConstraints are refused', () => {
  const bad = (more: readonly Uint8Array[], text: RegExp) => {
    const ca = makeIntermediate(root, { more });
    refused(() => verify([makeLeaf(ca), ca], [ca]), 'TLS_ERR_CONFIG', text);
  };
  bad([policies(A, A)], /appears twice/);
  bad([mappings([A, OID_ANY_POLICY])], /maps anyPolicy/);
  bad([extension(extensionOids.policyConstraints, true, derSequence())], /is empty/);
  const quiet = makeIntermediate(root, { more: [constraints(5, undefined, false)] });
  refused(
    () => verify([makeLeaf(quiet), quiet], [root]),
    'TLS_ERR_BAD_CERTIFICATE',
    /policyConstraints is not critical/,
  );
});

test('hostile mappings stay small: many policies mapped to many do not multiply', () => {
  const many = Array.from({ length: 60 }, (_, i) => `1.2.4.${i}`);
  const all = mappings(...many.flatMap((from) => many.map((to) => [from, to] as const)));
  const level = [policies(...many), all, constraints(0)];
  check(level, level, level, level, [policies(many[0])]);
});

test('policies are counted against the budget', () => {
  const leaf = makeLeaf(root, { more: [policies(A, B)] });
  verify([leaf], [root], { budget: { nameComparisons: 2 } });
  refused(
    () => verify([leaf], [root], { budget: { nameComparisons: 1 } }),
    'TLS_ERR_BAD_CERTIFICATE',
    /too many policies/,
  );
});
