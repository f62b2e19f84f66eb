// The plugins that kuberc lets kubectl run (kubectl.config.k8s.io/v1beta1, kubectl 1.35 and later): one entry put in or taken out,
// all else stays, to the byte. Pure: text in, text out.

import { isMap, isSeq, type Node, type YAMLMap } from 'yaml';
import { isObject } from '../../shared/wire.ts';
import { asLines, columnOf, insertLines, type Splice, spliced } from './lines.ts';
import { appendItems, removeItems } from './list_splices.ts';
import { afterKey, endOf, fieldOf, isNode, isNull, parse, rangeOf, sorted, stringify, TextFault } from './yaml.ts';

/** `name` is all that kubectl 1.35 and 1.36 read; from 1.37 on it is `command`. */
export type PluginField = 'name' | 'command';

const API = 'kubectl.config.k8s.io/v1beta1';
const [POLICY, LIST] = ['credentialPluginPolicy', 'credentialPluginAllowlist'] as const;

/**
 * @param file what kubeconfig calls: kubectl compares it as text
 * @param used plugins that kubeconfigs call already, and go on being called where kuberc named none before
 * @throws TextFault where it is not to be changed, or not by us
 */
export function allowIn(text: string, field: PluginField, file: string, used: readonly string[]): string {
  const newline = /^[^\n]*\r\n/.test(text) ? '\r\n' : '\n';
  const entriesOf = (files: readonly string[]) => files.map((one) => ({ [field]: one }));
  const fresh = { [POLICY]: 'Allowlist', [LIST]: entriesOf([...new Set([file, ...used])]) };
  const root = rootOf(text);
  if (!root) {
    const before = text === '' || text.endsWith('\n') ? '' : newline;
    const whole = { apiVersion: API, kind: 'Preference', ...fresh };
    return checked(text, text + before + asLines(newline, stringify(whole), 0));
  }
  if (root.get('apiVersion') !== API)
    throw new TextFault(` is of ${String(root.get('apiVersion'))}, which has no list of plugins: make it ${API} first`);
  const [policy, list] = [root.get(POLICY) || undefined, fieldOf(root, LIST)];
  if (policy === 'AllowAll' || (policy === 'Allowlist' && namesIn(list, text).includes(file))) return text;
  if (policy === undefined && (list === undefined || isNull(list))) {
    if (fieldOf(root, POLICY) !== undefined || list !== undefined || root.flow) throw new TextFault(UNSAFE);
    const lines = asLines(newline, stringify(fresh), columnOf(text, rangeOf(root.items[0]?.key as Node)[0]));
    return checked(text, spliced(text, [insertLines(text, newline, endOf(root), lines)]));
  }
  if (policy !== 'Allowlist')
    throw new TextFault(`: ${POLICY} is ${String(policy)}: whether plugins may run is yours to say`);
  if (list === undefined) throw new TextFault(UNSAFE);
  const place = { flow: root.flow === true, column: columnOf(text, rangeOf(root.items[0]?.key as Node)[0]) };
  const value = isNode(list) ? list : null;
  return checked(
    text,
    spliced(text, appendItems({ text, newline }, value, afterKey(text, root, LIST), place, entriesOf([file]))),
  );
}

/** @throws TextFault where it cannot be taken out alone */
export function disallowIn(text: string, file: string): string {
  const root = rootOf(text);
  const list = root && fieldOf(root, LIST);
  if (!root || !isSeq(list)) return text;
  const gone = list.items.filter((item) => isMap(item) && nameOf(item) === file);
  const splices: Splice[] = removeItems(text, list, afterKey(text, root, LIST), gone);
  return splices.length === 0 ? text : checked(text, spliced(text, splices));
}

/** @throws TextFault */
function rootOf(text: string): YAMLMap | undefined {
  const documents = parse(text);
  if (documents.length > 1) throw new TextFault(' has several documents');
  const contents = documents[0]?.contents;
  if (contents === null || contents === undefined) return undefined;
  if (!isMap(contents)) throw new TextFault(' is not a kuberc');
  return contents;
}

function nameOf(item: YAMLMap): unknown {
  return item.get('command') ?? item.get('name');
}

function namesIn(list: unknown, text: string): readonly unknown[] {
  return isSeq(list) && text !== '' ? list.items.flatMap((item) => (isMap(item) ? [nameOf(item)] : [])) : [];
}

/** The last look before anything is written: all that is not about plugins reads as before. */
function checked(before: string, after: string): string {
  const others = (text: string) => {
    const value: unknown = parse(text)[0]?.toJS() ?? {};
    const known = isObject(value) ? value : {};
    const { apiVersion = API, kind = 'Preference', [POLICY]: _, [LIST]: __, ...rest } = known;
    return JSON.stringify(sorted({ apiVersion, kind, ...rest }));
  };
  if (others(before) !== others(after)) throw new TextFault(UNSAFE);
  return after;
}

const UNSAFE = ' is written in a way that cannot be changed safely';
