// The CustomResourceDefinitions of the layers around, of the projects' own Go modules: fetched once into the cache, by their checksums.

import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { fetchOnce } from '../../../scripts/fetch_once.ts';
import { run } from '../../../scripts/run.ts';

interface Source {
  /** With its version. */
  readonly module: string;
  /** Of go.sum. */
  readonly sum: string;
  /** Patterns of files in it. */
  readonly files: readonly string[];
}

const SOURCES: readonly Source[] = [
  {
    module: 'sigs.k8s.io/gateway-api@v1.6.3',
    sum: 'h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=',
    files: ['config/crd/standard/gateway.networking.k8s.io_*routes.yaml'],
  },
  {
    module: 'istio.io/api@v1.32.0',
    sum: 'h1:37mJvg9I0biYZAEQF+MATs4FNeCpXEIVO3LFpVb6iNM=',
    files: ['kubernetes/customresourcedefinitions.gen.yaml'],
  },
  {
    module: 'github.com/traefik/traefik/v3@v3.7.13',
    sum: 'h1:T8wy9KuaFzCkmXCqAzDy7t73pBDR1DHrJe3pqXpNXTw=',
    files: ['docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml'],
  },
  {
    module: 'github.com/projectcontour/contour@v1.33.8',
    sum: 'h1:QoOfwqWws+CVRFpsRC2+f1DmB5IdurtyUtepIsiWfE0=',
    files: ['examples/contour/01-crds.yaml'],
  },
  {
    module: 'github.com/envoyproxy/gateway@v1.9.1',
    sum: 'h1:vAVp6/AlBXJ1aOhp1mxL7fNEzVEfjADUguUhm2wzxQY=',
    files: ['charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_*.yaml'],
  },
];

/** @returns the files with them. @throws Error that says what cannot be fetched */
export async function ensureCrds(
  log = (line: string) => void process.stderr.write(`test: ${line}\n`),
): Promise<readonly string[]> {
  const pins = createHash('sha256').update(JSON.stringify(SOURCES)).digest('hex').slice(0, 12);
  const folder = await fetchOnce(
    {
      name: `layers-crds-${pins}`,
      what: 'CustomResourceDefinitions',
      says: 'fetching the CustomResourceDefinitions of five projects for the tests, once: about 1m',
      fill: async (into) => {
        for (const source of SOURCES) await copyInto(into, source);
      },
    },
    log,
  );
  return globSync('*/*', { cwd: folder })
    .toSorted()
    .map((name) => path.join(folder, name));
}

async function copyInto(folder: string, { module, sum, files }: Source): Promise<void> {
  const env = { ...process.env, GOWORK: 'off', GOFLAGS: '-mod=mod' };
  const { code, stdout, stderr } = await run('go', ['mod', 'download', '-json', module], {
    env,
    timeout: 600_000,
    cwd: folder,
  });
  if (code !== 0) throw new Error(`go mod download ${module}: ${stdout.slice(-500)}${stderr.slice(-500)}`);
  const { Dir, Sum } = JSON.parse(stdout) as { Dir: string; Sum: string };
  if (Sum !== sum) throw new Error(`${module} has the checksum ${Sum}, not ${sum}`);
  const own = path.join(folder, module.replaceAll('/', '_'));
  await mkdir(own);
  const found = globSync([...files], { cwd: Dir });
  if (found.length === 0) throw new Error(`${module} has no ${files.join(', ')}`);
  for (const file of found) await copyFile(path.join(Dir, file), path.join(own, path.basename(file)));
}

/** A part of an openAPIV3Schema. */
export interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly pattern?: string;
  readonly format?: string;
}

/** @returns the schema of every version of each kind, by `GROUP/KIND` */
export function schemasIn(files: readonly string[]): ReadonlyMap<string, readonly Schema[]> {
  const schemas = new Map<string, readonly Schema[]>();
  for (const file of files) {
    for (const document of parseAllDocuments(readFileSync(file, 'utf8'))) {
      const crd = document.toJS() as Crd | null;
      if (crd?.kind !== 'CustomResourceDefinition') continue;
      const { group, names, versions } = crd.spec;
      const served = versions.filter(({ served: is }) => is).map(({ schema }) => schema.openAPIV3Schema);
      schemas.set(`${group}/${names.kind}`, served);
    }
  }
  return schemas;
}

interface Crd {
  readonly kind: string;
  readonly spec: {
    readonly group: string;
    readonly names: { readonly kind: string };
    readonly versions: readonly { readonly served: boolean; readonly schema: { readonly openAPIV3Schema: Schema } }[];
  };
}

/** @param at dots between, `[]` for each of a list. @returns `undefined` where there is no such field */
export function fieldOf(schema: Schema, at: string): Schema | undefined {
  let found: Schema | undefined = schema;
  for (const step of at.split('.')) {
    const name = step.replace(/\[\]$/, '');
    if (found?.['x-kubernetes-preserve-unknown-fields'] === true && found.properties?.[name] === undefined) return {};
    found = found?.properties?.[name];
    if (step.endsWith('[]')) found = found?.items;
  }
  return found;
}
