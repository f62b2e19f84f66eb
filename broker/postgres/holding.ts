// What a transaction reads it holds: as with one writer, a row on which something was decided is still so when it is committed.

import {
  AliasNode,
  type KyselyPlugin,
  type OperationNode,
  type RootOperationNode,
  SelectModifierNode,
  type SelectQueryNode,
  TableNode,
} from 'kysely';

/** Adds `for update` to each selection of rows of tables. What counts or groups has no rows of its own to hold. */
export const HOLDING: KyselyPlugin = {
  transformQuery: ({ node }) => (isOfRows(node) ? withLock(node) : node),
  transformResult: async ({ result }) => result,
};

function isOfRows(node: RootOperationNode): node is SelectQueryNode {
  if (node.kind !== 'SelectQueryNode') return false;
  const { from, groupBy, distinctOn, endModifiers, frontModifiers, joins, selections } = node;
  if (groupBy || distinctOn || joins || (endModifiers?.length ?? 0) > 0 || (frontModifiers?.length ?? 0) > 0)
    return false;
  if (from?.froms.length !== 1 || !from.froms.every((table) => TableNode.is(plain(table)))) return false;
  return !selections?.some(({ selection }) => isAggregate(plain(selection)));
}

function plain(node: OperationNode): OperationNode {
  return AliasNode.is(node) ? node.node : node;
}

function isAggregate({ kind }: OperationNode): boolean {
  return kind === 'AggregateFunctionNode' || kind === 'FunctionNode' || kind === 'RawNode';
}

function withLock(node: SelectQueryNode): SelectQueryNode {
  return { ...node, endModifiers: [SelectModifierNode.create('ForUpdate')] };
}
