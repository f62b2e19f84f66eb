// What is rendered from, and the grammar of what an administrator names: parsed here, so that nothing else reaches a file.

import { CurfewError } from '../../shared/errors.ts';
import type { WholeLimits } from '../../shared/limits.ts';
import type { Cutter } from '../layers_table/layer.ts';
import { oneLine } from '../text/one_line.ts';

/** What the layer stands in front of: a Service of a cluster, or an address. */
export type TargetRef =
  | { readonly kind: 'service'; readonly namespace: string; readonly name: string; readonly port: number }
  | { readonly kind: 'address'; readonly host: string; readonly port: number };
export type ServiceRef = Extract<TargetRef, { kind: 'service' }>;

export interface RenderInput {
  /** As the engine combined them; nothing here does. */
  readonly limits: WholeLimits;
  /** Whose they are, as in `segment payments, cluster prod-eu`. */
  readonly of: string;
  readonly segment: string;
  readonly target: TargetRef;
  /** The name that people ask for. */
  readonly host: string;
  /** The namespace of whatever stands in front of the target. */
  readonly ingress: string;
  /** What the administrator has to end what the layer cannot end. */
  readonly cutter?: Cutter | undefined;
  /** What was not said, and stands for something of the administrator's own. */
  readonly examples: readonly string[];
}

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const SERVICE = new RegExp(`^(${LABEL})/(${LABEL})(?::([0-9]{1,5}))?$`);
const ADDRESS = new RegExp(`^((?:${LABEL})(?:\\.${LABEL})*|\\[[0-9a-f:]{2,39}\\]):([0-9]{1,5})$`);
const HOST = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`);
const LONGEST_HOST = 253;
const PORT = 80;

/**
 * @param text `NAMESPACE/SERVICE[:PORT]`, or `HOST:PORT`
 * @throws CurfewError `usage`
 */
export function parseTarget(text: string): TargetRef {
  const [, namespace, name, stated] = SERVICE.exec(text) ?? [];
  if (namespace !== undefined && name !== undefined) {
    return { kind: 'service', namespace, name, port: portOf(stated ?? String(PORT), text) };
  }
  const [, host, port] = text.length > LONGEST_HOST ? [] : (ADDRESS.exec(text) ?? []);
  if (host !== undefined && port !== undefined) return { kind: 'address', host, port: portOf(port, text) };
  throw new CurfewError(
    'usage',
    `--target: expected NAMESPACE/SERVICE, NAMESPACE/SERVICE:PORT or HOST:PORT, got ${quote(text)}`,
  );
}

/** @throws CurfewError `usage` when it is no name in lower case */
export function parseHost(text: string): string {
  if (text.length <= LONGEST_HOST && HOST.test(text)) return text;
  throw new CurfewError('usage', `--host: expected a host name such as app.example.com, got ${quote(text)}`);
}

/** @throws CurfewError `usage` */
export function parseNamespace(text: string): string {
  if (new RegExp(`^${LABEL}$`).test(text)) return text;
  throw new CurfewError('usage', `--ingress: expected the name of a namespace, got ${quote(text)}`);
}

function portOf(digits: string, text: string): number {
  const port = Number(digits);
  if (port >= 1 && port <= 65_535) return port;
  throw new CurfewError('usage', `--target: expected a port from 1 to 65535, got ${quote(text)}`);
}

function quote(text: string): string {
  return JSON.stringify(oneLine(text).slice(0, 80));
}

/** Where a program that is not in the cluster's own words reaches the target. */
export function addressOf(target: TargetRef): { readonly host: string; readonly port: number } {
  if (target.kind === 'address') return target;
  return { host: `${target.name}.${target.namespace}.svc`, port: target.port };
}
