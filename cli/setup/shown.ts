// What would change in a file, as lines for a person. Kubeconfigs hold secrets of others, and one line may hold several entries:
// whatever is not known to be harmless is not shown.

import { createHash } from 'node:crypto';
import { structuredPatch } from 'diff';
import { isMap, isPair, isScalar, isSeq, visit } from 'yaml';
import { callOf, INFO } from '../kubeconfig/entries.ts';
import { type Splice, spliced } from '../kubeconfig/lines.ts';
import { parse, rangeOf } from '../kubeconfig/yaml.ts';
import { oneLine } from '../warm/one_line.ts';

/** `yaml`: what is not known to be harmless is put out. `plain`: only what is ours differs. */
export type Shown = 'yaml' | 'plain';

/** @returns nothing where they are alike */
export function diffOf(file: string, before: string, after: string, shown: Shown = 'yaml'): string {
  if (before === after) return '';
  const show = shown === 'plain' ? (text: string) => text : withoutSecrets;
  const { hunks } = structuredPatch(file, file, show(before), show(after), '', '', { context: 0 });
  const lines = hunks.flatMap(({ oldStart, oldLines, newStart, newLines, lines: changed }) => [
    `@@ -${oldStart},${oldLines} +${newStart},${newLines} @@`,
    ...changed.filter((line) => !line.startsWith('\\')).map((line) => oneLine(line)),
  ]);
  return [`--- ${oneLine(file)}`, `+++ ${oneLine(file)}`, ...lines].join('\n');
}

/** Fields of which the value says where something leads, and lets nobody in. */
const HARMLESS = new Set([
  ...['apiVersion', 'kind', 'name', 'server', 'cluster', 'user', 'namespace', 'current-context', 'command', 'broker'],
  ...[
    'interactiveMode',
    'provideClusterInfo',
    'installHint',
    'credentialPluginPolicy',
    'default',
    'ca_file',
    'max_age',
  ],
  ...['identity_provider', 'flow', 'secret_storage', 'background_renewal', 'ca_sha256', 'insecure-skip-tls-verify'],
]);
const AUTHORITY = 'certificate-authority-data';

/** The same text, with what may be secret put out, and comments, in which people keep anything. */
export function withoutSecrets(text: string): string {
  const splices: Splice[] = [];
  for (const document of parse(text)) {
    visit(document, {
      Scalar(key, node, path) {
        if (key === 'key' || !node.range) return;
        const [start, end] = rangeOf(node);
        if (start === end) return;
        const said = saidOf(node.value, path);
        if (said !== undefined) splices.push({ start, end: endOfText(text, end), text: said });
      },
    });
  }
  const put = spliced(
    text,
    splices.toSorted((a, b) => a.start - b.start),
  );
  return put.replaceAll(/(^|\s)#[^\n]*/gm, '$1# (not shown)');
}

/** A block scalar ends with its line. */
function endOfText(text: string, end: number): number {
  return text[end - 1] === '\n' ? end - 1 : end;
}

/** @returns nothing where it is shown as it is */
function saidOf(value: unknown, path: readonly unknown[]): string | undefined {
  const pair = path.findLast((one) => isPair(one));
  const key = isPair(pair) && isScalar(pair.key) ? String(pair.key.value) : '';
  const isItem = isSeq(path.at(-1));
  if (key === AUTHORITY) return `(sha256 ${createHash('sha256').update(String(value)).digest('hex').slice(0, 16)})`;
  if (isItem && key === 'args' && isCallOfOurs(path)) return undefined;
  if (key === 'value' && isInfo(path)) return undefined;
  const plain = HARMLESS.has(key) && !(key === 'server' && String(value).includes('@'));
  return plain || value === null || value === '' || typeof value === 'boolean' ? undefined : '(not shown)';
}

function isCallOfOurs(path: readonly unknown[]): boolean {
  const exec = path.findLast((one) => isMap(one));
  const args: unknown = isMap(exec) ? exec.get('args') : undefined;
  const words = isSeq(args) ? args.items.map((item) => (isScalar(item) ? item.value : undefined)) : [];
  return callOf({ exec: { args: words } })?.broker !== undefined;
}

function isInfo(path: readonly unknown[]): boolean {
  const map = path.findLast((one) => isMap(one));
  return isMap(map) && map.get('name') === INFO;
}
