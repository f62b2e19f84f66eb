// The fields that the programs log, found in their sources: the first argument of log.info, log.warn and log.error.

import { parse } from 'acorn';
import { transform } from 'esbuild';
import { read } from './documents.ts';
import { filesOf } from './sources.ts';

interface Node {
  readonly type: string;
  readonly [part: string]: unknown;
}

/** Fields of values that come from elsewhere as a parameter, by file and name, each as its callers make them. */
const OF_PARAMETERS: Readonly<Record<string, readonly string[]>> = {
  'broker/signals/act.ts what': ['source', 'transmitter', 'jti', 'type'],
};

/** Pino's own, in each line. */
export const OF_EACH_LINE: readonly string[] = ['level', 'time', 'msg'];

/** @returns each field with the files that log it @throws Error for an argument that cannot be followed */
export async function logFields(
  files: readonly string[] = filesOf('broker', 'gateway', 'serving'),
  textOf: (file: string) => string = read,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, Set<string>>();
  for (const file of files) {
    const text = textOf(file);
    if (!/\blog\b/i.test(text)) continue;
    const { code } = await transform(text, { loader: 'ts', target: 'esnext' });
    const tree = parse(code, { ecmaVersion: 'latest', sourceType: 'module' }) as unknown as Node;
    const values = declared(tree);
    for (const call of callsOfLog(tree)) {
      for (const field of fieldsOf(call, { file, values })) found.set(field, (found.get(field) ?? new Set()).add(file));
    }
  }
  return new Map([...found].map(([field, at]) => [field, [...at]]));
}

/** The first arguments, where a text comes after them. */
function callsOfLog(tree: Node): Node[] {
  return all(tree, 'CallExpression').flatMap(({ callee, arguments: given }) => {
    const { object, property } = callee as Node;
    if (!['info', 'warn', 'error'].includes(nameOf(property)) || !['log', 'logger'].includes(nameOf(object))) return [];
    const [first, text] = given as Node[];
    // What is given alone is the text.
    return first && text ? [first] : [];
  });
}

interface Place {
  readonly file: string;
  readonly values: ReadonlyMap<string, readonly Node[]>;
}

function fieldsOf(node: Node, place: Place): string[] {
  switch (node.type) {
    case 'ObjectExpression':
      return (node.properties as Node[]).flatMap((property) => {
        if (property.type === 'SpreadElement') return fieldsOf(property.argument as Node, place);
        const key = property.key as Node;
        return [key.type === 'Literal' ? String(key.value) : nameOf(key)];
      });
    case 'LogicalExpression':
      return fieldsOf(node.right as Node, place);
    case 'ConditionalExpression':
      return [node.consequent, node.alternate].flatMap((one) => fieldsOf(one as Node, place));
    case 'Identifier':
      return fieldsOfName(nameOf(node), place);
    default:
      throw new Error(`${place.file}: what is logged was not understood: ${node.type}`);
  }
}

function fieldsOfName(name: string, { file, values }: Place): string[] {
  const known = OF_PARAMETERS[`${file} ${name}`];
  if (known) return [...known];
  const made = (values.get(name) ?? []).filter(({ type }) => type === 'ObjectExpression');
  if (made.length === 0) throw new Error(`${file}: what is logged as ${name} was not found`);
  return made.flatMap((value) => fieldsOf(value, { file, values }));
}

/** What each name is set to at its declarations. */
function declared(tree: Node): ReadonlyMap<string, readonly Node[]> {
  const found = new Map<string, Node[]>();
  for (const { id, init } of all(tree, 'VariableDeclarator')) {
    if (init) found.set(nameOf(id), [...(found.get(nameOf(id)) ?? []), init as Node]);
  }
  return found;
}

function all(node: unknown, type: string): Node[] {
  if (Array.isArray(node)) return node.flatMap((one) => all(one, type));
  if (typeof node !== 'object' || node === null) return [];
  const inner = Object.values(node).flatMap((one) => all(one, type));
  return (node as Node).type === type ? [node as Node, ...inner] : inner;
}

function nameOf(node: unknown): string {
  if (typeof node !== 'object' || node === null) return '';
  const { name, property, callee } = node as { name?: unknown; property?: unknown; callee?: unknown };
  return typeof name === 'string' ? name : nameOf(property ?? callee);
}
