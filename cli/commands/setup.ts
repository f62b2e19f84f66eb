// `setup`: the broker's clusters become clusters, users and contexts of kubeconfig.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Document } from 'yaml';
import { formatDuration } from '../../shared/duration.ts';
import type { Seconds } from '../../shared/time.ts';
import type { MetadataCluster } from '../../shared/wire.ts';
import { createBroker } from '../broker.ts';
import { findCluster } from '../client.ts';
import { readConfig, requireOwnPlace, writeConfig } from '../config.ts';
import { printExecInfo } from '../exec_info.ts';
import { configDirectoryOf, type Host } from '../host.ts';
import { createSend } from '../http.ts';
import { editKubeconfig, findEntry, kubeconfigFile, setEntry } from '../kubeconfig.ts';
import { type Launcher, writeLauncher } from '../launcher.ts';
import { oneLine } from '../one_line.ts';
import { rememberProbe } from '../secrets/probe.ts';
import { brokerOf, requireByHand } from '../trust.ts';

export interface SetupOptions {
  /** From `brokerKey`. */
  readonly broker: string;
  readonly cluster: readonly string[];
  readonly kubeconfig?: string;
  readonly execApiVersion: string;
  readonly caFile?: string;
  readonly maxAge?: Seconds;
}

export async function setupCommand(host: Host, options: SetupOptions): Promise<void> {
  requireOwnPlace(host, `${configDirectoryOf(host)}/bin`);
  const config = readConfig(host);
  requireByHand(host, config, options.broker);
  const ca_file = options.caFile === undefined ? undefined : resolve(options.caFile);
  const known = ca_file ?? config.brokers[options.broker]?.ca_file;
  const metadata = await createBroker(options.broker, createSend(host, known), host).metadata();
  const clusters =
    options.cluster.length === 0
      ? metadata.clusters
      : [...new Set(options.cluster)].map((name) => findCluster(metadata.clusters, name));

  const launcher = writeLauncher(host);
  // Who sets up may just have made a keychain work.
  rememberProbe(host, undefined);
  const file = kubeconfigFile(host, options.kubeconfig);
  const user = {
    command: launcher.file,
    api: options.execApiVersion,
    broker: options.broker,
    max_age: options.maxAge,
    ca_file: known,
  };
  const { contexts, current } = await editKubeconfig(host, file, (kubeconfig) => {
    const contexts = clusters.map((cluster) => ({
      cluster: cluster.name,
      context: addCluster(kubeconfig, cluster, user),
    }));
    return { contexts, current: setCurrent(kubeconfig, contexts[0]?.context) };
  });
  const named = contexts.map(({ context, cluster }) => [
    context,
    { broker: options.broker, cluster, max_age: options.maxAge },
  ]);
  writeConfig(host, {
    ...config,
    default: options.broker,
    brokers: { ...config.brokers, [options.broker]: brokerOf(known, metadata.identity_provider.issuer) },
    contexts: { ...config.contexts, ...Object.fromEntries(named) },
  });
  host.print(report(host, file, launcher, contexts, current));
}

interface User {
  readonly command: string;
  readonly api: string;
  readonly broker: string;
  readonly max_age: Seconds | undefined;
  readonly ca_file: string | undefined;
}

/** @returns the name of its context */
function addCluster(
  kubeconfig: Document,
  cluster: MetadataCluster,
  { command, api, broker, max_age, ca_file }: User,
): string {
  const name = freeName(kubeconfig, cluster, broker);
  const { server, certificate_authority_data } = cluster;
  setEntry(kubeconfig, 'clusters', name, 'cluster', {
    server,
    ...(certificate_authority_data && { 'certificate-authority-data': certificate_authority_data }),
  });
  const apiVersion = `client.authentication.k8s.io/${api}`;
  const args = ['get-token', '--broker', broker, '--cluster', cluster.name];
  if (max_age !== undefined) args.push('--max-age', formatDuration(max_age));
  if (ca_file !== undefined) args.push('--ca-file', ca_file);
  setEntry(kubeconfig, 'users', name, 'user', {
    exec: {
      apiVersion,
      command,
      args,
      // Some clients tell the plugin nothing (the official one for JavaScript); what kubectl tells comes after this, and counts.
      env: [{ name: 'KUBERNETES_EXEC_INFO', value: printExecInfo(apiVersion) }],
      interactiveMode: 'IfAvailable',
      provideClusterInfo: false,
      installHint: 'install kubectl-curfew, then run: kubectl-curfew setup',
    },
  });
  setEntry(kubeconfig, 'contexts', name, 'context', { cluster: name, user: name });
  return name;
}

/** The cluster's own name, unless the file uses it for something that is not ours. */
function freeName(kubeconfig: Document, { name, server }: MetadataCluster, broker: string): string {
  for (let i = 0; ; i++) {
    const candidate = i === 0 ? name : i === 1 ? `curfew-${name}` : `curfew-${name}-${i}`;
    const user = findEntry(kubeconfig, 'users', candidate);
    const ours = user !== undefined && isOurs(user.getIn(['user', 'exec', 'args']), broker, name);
    if (ours) return candidate;
    const taken = user ?? findEntry(kubeconfig, 'contexts', candidate);
    const cluster = findEntry(kubeconfig, 'clusters', candidate);
    if (!taken && (!cluster || cluster.getIn(['cluster', 'server']) === server)) return candidate;
  }
}

function isOurs(args: unknown, broker: string, cluster: string): boolean {
  const words: unknown = JSON.parse(JSON.stringify(args ?? []));
  if (!Array.isArray(words) || words[0] !== 'get-token') return false;
  return words[words.indexOf('--broker') + 1] === broker && words[words.indexOf('--cluster') + 1] === cluster;
}

/** Sets the current context only where there is none. @returns the one that is current then */
function setCurrent(kubeconfig: Document, context: string | undefined): string {
  const current = kubeconfig.get('current-context');
  if (typeof current === 'string' && current !== '') return current;
  if (context !== undefined) kubeconfig.set('current-context', context);
  return context ?? '';
}

function report(
  host: Host,
  file: string,
  { file: command, slow }: Launcher,
  contexts: readonly { readonly cluster: string; readonly context: string }[],
  current: string,
): string {
  const lines = [`wrote ${file}`, ...(slow === undefined ? [] : [`  each kubectl call takes longer: ${slow}`])];
  for (const { cluster, context } of contexts) {
    const why = context === cluster ? '' : `: the name ${oneLine(cluster)} is used there for something else`;
    lines.push(`  context ${oneLine(context)} for the cluster ${oneLine(cluster)}${why}`);
  }
  lines.push('next:');
  const [first] = contexts;
  if (first && contexts.every(({ context }) => context !== current)) {
    lines.push(`  kubectl config use-context ${oneLine(first.context)}`);
  }
  lines.push('  kubectl get pods');
  if (!isInPath(host)) {
    const folder = command.slice(0, command.lastIndexOf('/'));
    lines.push('for "kubectl curfew login", "status" and "logout":', `  export PATH="$PATH:${folder}"`);
  }
  return `${lines.join('\n')}\n`;
}

function isInPath({ env, platform }: Host): boolean {
  const [separator, suffix] = platform === 'win32' ? [';', '.cmd'] : [':', ''];
  return (env.PATH ?? '').split(separator).some((folder) => folder && existsSync(`${folder}/kubectl-curfew${suffix}`));
}
