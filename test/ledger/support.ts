/** A ledger over connections in memory, and its trees as text. */

import type { KeyNode, KeyTree } from '../../src/ledger/key-tree.ts';

/** A line for each secret: its kind, indented below its parent. */
export function outline(tree: KeyTree | undefined): string[] {
  const lines: string[] = [];
  const draw = (node: KeyNode, depth: number) => {
    lines.push(`${' '.repeat(depth)}${node.kind}`);
    for (const child of node.children) {
      draw(child, depth + 1);
    }
  };
  for (const root of tree?.secrets ?? []) {
    draw(root, 0);
  }
  return lines;
}

/** All secrets of a tree, those of others among them. */
export function nodes(tree: KeyTree | undefined): KeyNode[] {
  const all = (node: KeyNode): KeyNode[] => [node, ...node.children.flatMap(all)];
  return (tree?.secrets ?? []).flatMap(all);
}

/** Kinds from a secret up to its root, as the tree draws it. */
export function lineOf(tree: KeyTree | undefined, id: number): string[] {
  const search = (node: KeyNode): string[] | undefined => {
    if (node.id === id) {
      return [node.kind];
    }
    for (const child of node.children) {
      const found = search(child);
      if (found !== undefined) {
        return [...found, node.kind];
      }
    }
    return undefined;
  };
  for (const root of tree?.secrets ?? []) {
    const found = search(root);
    if (found !== undefined) {
      return found;
    }
  }
  return [];
}
