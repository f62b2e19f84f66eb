// Counters for the fuzzer: one byte for each branch, put into our own modules while they are bundled. A comparison of texts tells its
// operands too, so that the mutator can offer what was looked for.

import { type AnyNode, parse } from 'acorn';

export interface Instrumented {
  readonly code: string;
  /** How many counters are in it. */
  readonly count: number;
  /** Literals and names that stand in it. */
  readonly words: ReadonlySet<string>;
}

/** What a module that is instrumented calls: `hit[n]++`, and `same(left, right)` in place of `left === right`. */
export const NAMES = { hit: '__hit', same: '__same' } as const;

const LONGEST_WORD = 64;
/** Children that run or not, by parent and place: blocks and expressions. */
const BLOCKS: ReadonlySet<string> = new Set([
  'FunctionDeclaration.body',
  'FunctionExpression.body',
  'IfStatement.consequent',
  'IfStatement.alternate',
  'ForStatement.body',
  'ForOfStatement.body',
  'ForInStatement.body',
  'WhileStatement.body',
  'DoWhileStatement.body',
  'CatchClause.body',
]);
const EXPRESSIONS: ReadonlySet<string> = new Set([
  'ArrowFunctionExpression.body',
  'ConditionalExpression.consequent',
  'ConditionalExpression.alternate',
  'LogicalExpression.right',
  'AssignmentPattern.right',
]);
const PLAIN: ReadonlySet<string> = new Set(['ImportDeclaration', 'ExportAllDeclaration', 'ExportSpecifier']);

/** @param source JavaScript, a module */
export function instrument(source: string): Instrumented {
  const words = new Set<string>();
  let count = 0;
  const hit = () => `${NAMES.hit}[${count++}]++`;

  const render = (node: AnyNode): string => {
    collect(node, words);
    if (PLAIN.has(node.type)) return source.slice(node.start, node.end);
    if (node.type === 'BinaryExpression' && comparesTexts(node)) {
      const same = `${NAMES.same}((${render(node.left)}),(${render(node.right)}))`;
      return node.operator === '===' ? same : `(!${same})`;
    }
    let [code, at] = ['', node.start];
    for (const [key, child] of childrenOf(node)) {
      code += source.slice(at, child.start) + counted(node, key, child);
      at = child.end;
    }
    return code + source.slice(at, node.end);
  };
  const counted = (parent: AnyNode, key: string, child: AnyNode): string => {
    const place = `${parent.type}.${key}`;
    if (place === 'SwitchCase.consequent') {
      const isFirst = parent.type === 'SwitchCase' && parent.consequent[0] === child;
      return isFirst ? `${hit()};${render(child)}` : render(child);
    }
    const isBlock = child.type === 'BlockStatement';
    if (BLOCKS.has(place) || (EXPRESSIONS.has(place) && isBlock)) {
      const code = `{${hit()};`;
      return isBlock ? code + render(child).slice(1) : `${code}${render(child)}}`;
    }
    return EXPRESSIONS.has(place) ? `(${hit()},(${render(child)}))` : render(child);
  };
  const code = render(parse(source, { ecmaVersion: 'latest', sourceType: 'module' }));
  return { code, count, words };
}

/** In the order of the source. */
function childrenOf(node: AnyNode): [string, AnyNode][] {
  const isShort = node.type === 'Property' && node.shorthand;
  return Object.entries(node)
    .flatMap(([key, value]: [string, unknown]) => {
      if (isShort && key === 'key') return [];
      return (Array.isArray(value) ? value : [value]).filter(isNode).map((child): [string, AnyNode] => [key, child]);
    })
    .sort(([, a], [, b]) => a.start - b.start);
}

function isNode(value: unknown): value is AnyNode {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}

/** Numbers, `undefined` and `typeof x` teach nothing. */
function comparesTexts(node: Extract<AnyNode, { type: 'BinaryExpression' }>): boolean {
  return ['===', '!=='].includes(node.operator) && [node.left, node.right].every(mayBeText);
}

function mayBeText(node: AnyNode): boolean {
  if (node.type === 'Literal') return typeof node.value === 'string';
  return node.type !== 'UnaryExpression' && !(node.type === 'Identifier' && node.name === 'undefined');
}

function collect(node: AnyNode, words: Set<string>): void {
  if (node.type === 'Literal' && ['string', 'number'].includes(typeof node.value)) {
    const word = String(node.value);
    if (word.length > 0 && word.length < LONGEST_WORD) words.add(word);
  }
  const name = node.type === 'Property' ? node.key : node.type === 'MemberExpression' ? node.property : undefined;
  if (name?.type === 'Identifier') words.add(name.name);
}
