// `curfew-broker layers audit`: files, standard input or a live cluster against the limits of the policy.

import { readAtMost } from '../../serving/files/regular_file.ts';
import { CurfewError, EXIT } from '../../shared/errors.ts';
import { audit } from '../alignment/audit.ts';
import { compare, printBaseline, readBaseline } from '../alignment/baseline.ts';
import { printJson, printSarif, printText, type Said } from '../alignment/say.ts';
import { type Scope, scopeOf } from '../alignment/scope.ts';
import { readAccess } from '../around/access.ts';
import { createReader } from '../around/reader.ts';
import type { Config } from '../config/settings.ts';
import { collectCluster } from '../manifests/cluster.ts';
import { type Collected, collect } from '../manifests/collect.ts';
import { type Input, readFiles } from '../manifests/files.ts';

export interface LayersAuditOptions {
  readonly cluster?: string;
  readonly segment?: string;
  readonly namespace?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly output?: 'text' | 'json' | 'sarif';
  readonly baseline?: string;
  readonly writeBaseline?: true;
}

export interface LayersAuditParts extends Input {
  readonly version: string;
  readonly save: (file: string, text: string) => Promise<void>;
}

export interface LayersAudited {
  readonly text: string;
  readonly exit: number;
}

const MIB = 1024 * 1024;

/**
 * @param paths files, folders, and `-` for standard input
 * @throws CurfewError `usage`, and `configuration` where nothing was read that the audit knows: it must not look like a success
 */
export async function auditLayers(
  config: Config,
  paths: readonly string[],
  options: LayersAuditOptions,
  parts: LayersAuditParts,
): Promise<LayersAudited> {
  const { kubeconfig, baseline: baselineFile, writeBaseline } = options;
  if ((paths.length === 0) === (kubeconfig === undefined))
    throw new CurfewError('usage', 'give either files, folders or -, or --kubeconfig');
  if (options.context !== undefined && kubeconfig === undefined)
    throw new CurfewError('usage', '--context is for --kubeconfig');
  if (writeBaseline && baselineFile === undefined) throw new CurfewError('usage', '--write-baseline is for --baseline');
  const scope = scopeOf(config, options);
  const baseline = baselineFile === undefined || writeBaseline ? undefined : await baselineOf(baselineFile);
  const { collected, refused } =
    kubeconfig === undefined
      ? { collected: await collectFiles(paths, parts), refused: [] }
      : await ofCluster(kubeconfig, options.context);
  const placed = inNamespace(collected, options.namespace);
  mustHaveRead(placed);
  const { findings, judged, outside, homeless } = audit(placed, scope, config.issuer, options.namespace);
  if (judged === 0 && placed.unread.length === 0)
    throw new CurfewError('configuration', `${scope.said} matches none of ${outside} objects: nothing was judged`, {
      hint: 'name the segment or cluster that they are in',
    });
  const notices = [
    ...refused.map((one) => `not seen: ${one}: see curfew-broker layers audit --print-rbac`),
    ...noticesOf(outside, homeless, scope, options),
  ];
  if (writeBaseline && baselineFile !== undefined) {
    await parts.save(baselineFile, printBaseline(findings));
    return { text: `${baselineFile}: ${findings.length} findings\n`, exit: EXIT.done };
  }
  const compared = baseline && compare(findings, baseline);
  const fresh = compared?.fresh ?? findings;
  const said: Said = {
    findings: fresh,
    notices: [...notices, ...(compared?.gone ?? []).map(sayGone)],
    judged: `${sayCount(judged, 'object')} of ${sayCount(placed.sources, 'source')}, ${scope.said}${compared ? `; ${compared.adopted} known by the baseline` : ''}`,
    version: parts.version,
  };
  const print = { text: printText, json: printJson, sarif: printSarif }[options.output ?? 'text'];
  return { text: print(said), exit: fresh.length === 0 ? EXIT.done : EXIT.findings };
}

function collectFiles(paths: readonly string[], parts: Input): Promise<Collected> {
  return collect(readFiles(paths, parts));
}

async function ofCluster(kubeconfig: string, context: string | undefined) {
  const access = await readAccess(kubeconfig, context);
  const reader = createReader(access);
  try {
    return await collectCluster(reader, access.server);
  } finally {
    await reader.close();
  }
}

async function baselineOf(file: string) {
  const { text } = await readAtMost(file, 16 * MIB).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : 'cannot be read';
    throw new CurfewError('configuration', `${file}: ${why}`, {
      hint: 'write one: layers audit --baseline FILE --write-baseline',
    });
  });
  return readBaseline(file, text);
}

/** Objects that name no namespace are in this one. */
function inNamespace(collected: Collected, namespace: string | undefined): Collected {
  if (namespace === undefined) return collected;
  const objects = collected.objects.map((one) => (one.namespace === undefined ? { ...one, namespace } : one));
  const placed = new Map(collected.objects.map((one, i) => [one, objects[i]]));
  const files = collected.files.map((file) => {
    const of = file.of && placed.get(file.of);
    return of ? { ...file, of } : file;
  });
  return { ...collected, objects, files };
}

function mustHaveRead({ objects, files, unread, sources, unknown }: Collected): void {
  if (objects.length > 0 || files.length > 0 || unread.length > 0) return;
  if (sources === 0)
    throw new CurfewError('configuration', 'there is no file of YAML, JSON, TOML, conf, cfg or nft', {
      hint: 'name files, or folders that have some',
    });
  const kinds = [...unknown.keys()].toSorted().slice(0, 5).join(', ');
  throw new CurfewError(
    'configuration',
    `nothing in ${sayCount(sources, 'file')} is known here${kinds === '' ? '' : `, only ${kinds}`}`,
    {
      hint: 'which kinds are judged is in docs/layers-audit.md',
    },
  );
}

function noticesOf(
  outside: number,
  homeless: number,
  scope: Scope,
  { cluster, namespace }: LayersAuditOptions,
): string[] {
  return [
    ...(outside > 0 ? [`${sayCount(outside, 'object')} in namespaces that are not of ${scope.said}: not judged`] : []),
    ...(cluster !== undefined && namespace === undefined && homeless > 0
      ? [
          `${sayCount(homeless, 'object')} without a namespace: held against the limits of all of them together; --namespace says which one`,
        ]
      : []),
  ];
}

function sayGone({ name, file, object, count }: { name: string; file: string; object: string; count: number }): string {
  return `gone: ${name} of ${object === '' ? file : object}${count > 1 ? ` (${count})` : ''} is in the baseline and not found any more: write it again`;
}

function sayCount(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
