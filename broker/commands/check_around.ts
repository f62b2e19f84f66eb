// `curfew-broker check --kubeconfig`: what in a cluster goes around sessions.

import { CurfewError, EXIT, meaning } from '../../shared/errors.ts';
import { readAccess } from '../around/access.ts';
import { clusterAt, lookAround } from '../around/look.ts';
import { AROUND } from '../around/names.ts';
import { createReader } from '../around/reader.ts';
import type { Config } from '../config/settings.ts';
import { oneLine } from '../text/one_line.ts';
import type { Checked } from './check.ts';

export interface AroundOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** @throws CurfewError `configuration` where the kubeconfig leads nowhere, `api_server` where the cluster is away */
export async function checkAround(config: Config, { kubeconfig, context }: AroundOptions): Promise<Checked> {
  if (kubeconfig === undefined) throw new CurfewError('usage', '--context is for --kubeconfig');
  const access = await readAccess(kubeconfig, context);
  const cluster = clusterAt(config, access);
  const reader = createReader(access);
  try {
    const found = await lookAround(reader, config.identity_provider, cluster);
    const where = cluster ? `cluster ${cluster.name}` : `the cluster at ${new URL(access.server).host}`;
    if (found.length === 0) return { lines: [`ok: ${where}: nothing goes around sessions`], exit: EXIT.done };
    const said = found.map(({ name, detail }) => `warning: ${where}: ${name}: ${detail}`);
    const names = [...new Set(found.map(({ name }) => name))];
    return {
      lines: [...said.map(oneLine), ...names.map((name) => `note: ${name}: ${AROUND[name]}`)],
      exit: EXIT.findings,
    };
  } catch (fault) {
    if (!(fault instanceof CurfewError)) throw fault;
    return { lines: [`error: ${fault.message}`], exit: meaning(fault.code).exit };
  } finally {
    await reader.close();
  }
}
