// The chart, rendered by the real helm. Run directly, it writes deploy/manifests again.

import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Document, isMap, parseAllDocuments } from 'yaml';
import { run } from '../../scripts/run.ts';
import { ensureOtherClients } from '../support/other_clients.ts';

export const ROOT = path.join(import.meta.dirname, '../..');
export const CHART = path.join(ROOT, 'deploy/helm/curfew');
const MANIFESTS = path.join(ROOT, 'deploy/manifests');

/** The values that are given by example: each makes one file of plain manifests. */
export const EXAMPLES = ['broker-on-sqlite', 'broker-on-postgres', 'gateway'] as const;
export type Example = (typeof EXAMPLES)[number];

export const valuesOf = (example: Example) => path.join(MANIFESTS, `${example}.values.yaml`);
export const manifestsOf = (example: Example) => path.join(MANIFESTS, `${example}.yaml`);

/** As `--set-json` takes it: `{'broker.replicas': 2}`. */
export type Changes = Readonly<Record<string, unknown>>;

export interface Rendered {
  readonly code: number | null;
  readonly yaml: string;
  /** What helm says where it refuses. */
  readonly said: string;
}

/** @param files of values, of which the later win @param notes whether they come instead of nothing at the end */
export async function render(files: readonly string[], changes: Changes = {}, notes = false): Promise<Rendered> {
  const { helm } = await ensureOtherClients();
  const values = files.flatMap((file) => ['--values', file]);
  const set = Object.entries(changes).flatMap(([name, value]) => ['--set-json', `${name}=${JSON.stringify(value)}`]);
  // Its own folders, as helm has them, are not looked at.
  const env = { PATH: process.env.PATH, HOME: '/nonexistent', HELM_NO_PLUGINS: '1' };
  // `install` tells the notes; as a client it needs no cluster.
  const command = notes ? ['install', '--dry-run=client'] : ['template'];
  const args = [...command, 'curfew', CHART, '--namespace', 'curfew', ...values, ...set];
  const { code, stdout, stderr } = await run(helm, args, { env });
  return { code, yaml: stdout, said: stderr };
}

/** What is rendered, as objects; what renders nothing is left out. */
export function objectsIn(yaml: string): readonly Manifest[] {
  return parseAllDocuments(yaml).flatMap((document) => {
    const object = document.toJS() as Manifest | null;
    return object === null ? [] : [object];
  });
}

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, string>>;
}

/** For who applies it by kubectl: nothing of helm's in it. */
export function plain(yaml: string): string {
  const documents = parseAllDocuments(yaml).filter((document) => document.contents !== null) as Document[];
  for (const document of documents) {
    for (const at of [['metadata'], ['spec', 'template', 'metadata']]) {
      for (const label of ['app.kubernetes.io/managed-by', 'helm.sh/chart'])
        if (document.hasIn([...at, 'labels', label])) document.deleteIn([...at, 'labels', label]);
      const annotations = document.getIn([...at, 'annotations']);
      if (!isMap(annotations)) continue;
      for (const { key } of [...annotations.items])
        if (/^helm\.sh\/|^checksum\//.test(String(key))) annotations.delete(String(key));
      if (annotations.items.length === 0) document.deleteIn([...at, 'annotations']);
    }
  }
  const texts = documents.map((document) => document.toString({ lineWidth: 0, directives: false }));
  return texts.map((text) => text.replaceAll(/^# Source: .*\n/gm, '').trim()).join('\n---\n');
}

export async function manifests(example: Example): Promise<string> {
  const { code, yaml, said } = await render([valuesOf(example)]);
  if (code !== 0) throw new Error(said);
  const head = `# Made of the chart and of ${example}.values.yaml: node test/chart/render.ts\n`;
  return `${head}${plain(yaml)}\n`;
}

if (import.meta.main) {
  for (const example of EXAMPLES) await writeFile(manifestsOf(example), await manifests(example));
  console.log(`${EXAMPLES.length} files of ${path.relative(ROOT, MANIFESTS)}`);
}

export const packageVersion = async () =>
  (JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')) as { readonly version: string }).version;
