// `setup`: the broker's clusters become clusters, users and contexts of kubeconfig.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { memberOf } from '../../shared/json.ts';
import type { Seconds } from '../../shared/time.ts';
import type { MetadataCluster } from '../../shared/wire.ts';
import { readAllowed } from '../audit/kuberc.ts';
import { checkKubectl, checkKuberc } from '../doctor/machine.ts';
import { readConfig, requireOwnPlace, writeConfig } from '../host/config.ts';
import { type Clocks, configDirectoryOf, type Host, type Owner, type Program } from '../host/host.ts';
import { type Launcher, writeLauncher } from '../host/launcher.ts';
import { addCluster, hasCluster, type PluginCall } from '../kubeconfig/entries.ts';
import { editKubeconfig, kubeconfigFile, kubeconfigFiles, readKubeconfig } from '../kubeconfig/kubeconfig.ts';
import type { KubeconfigText } from '../kubeconfig/text.ts';
import { rememberProbe } from '../secrets/probe.ts';
import { findCluster } from '../session/client.ts';
import { brokerOf, requireByHand } from '../session/trust.ts';
import { oneLine } from '../warm/one_line.ts';
import type { Config } from '../warm/settings.ts';
import { createBroker, refuseInsecure } from '../wire/broker.ts';
import { createSend } from '../wire/http.ts';

export interface SetupOptions {
  /** From `brokerKey`. */
  readonly broker: string;
  readonly cluster: readonly string[];
  readonly kubeconfig?: string;
  readonly execApiVersion: string;
  readonly caFile?: string;
  readonly maxAge?: Seconds;
}

export async function setupCommand(
  host: Clocks & Owner & Program & Pick<Host, 'print' | 'random' | 'say'>,
  options: SetupOptions,
): Promise<void> {
  requireOwnPlace(host, `${configDirectoryOf(host)}/bin`);
  const config = readConfig(host);
  refuseInsecure(options.broker, host);
  requireByHand(host, config, options.broker);
  const ca_file = options.caFile === undefined ? undefined : resolve(options.caFile);
  const known = ca_file ?? memberOf(config.brokers, options.broker)?.ca_file;
  const metadata = await createBroker(options.broker, createSend(host, known), host).metadata();
  const clusters =
    options.cluster.length === 0
      ? metadata.clusters
      : [...new Set(options.cluster)].map((name) => findCluster(metadata.clusters, name));

  const launcher = writeLauncher(host);
  // Who sets up may just have made a keychain work.
  rememberProbe(host, undefined);
  const call = {
    command: launcher.file,
    api: options.execApiVersion,
    broker: options.broker,
    max_age: options.maxAge,
    ca_file: known,
  };
  const written = (context: string) => memberOf(config.contexts ?? {}, context)?.server;
  const files = kubeconfigFiles(host, options.kubeconfig);
  const usual = kubeconfigFile(host, options.kubeconfig);
  const contexts = await writeClusters(host, files, usual, clusters, call, written);
  const current = await setCurrent(host, files, usual, contexts[0]?.context);
  writeConfig(host, {
    ...config,
    default: options.broker,
    brokers: { ...config.brokers, [options.broker]: brokerOf(known, metadata.identity_provider.issuer) },
    contexts: { ...config.contexts, ...named(contexts, options) },
  });
  host.print(`${report(host, launcher, contexts, current)}${await kubercReport(host)}`);
}

interface Written {
  readonly file: string;
  readonly context: string;
  readonly cluster: MetadataCluster;
}

/** By the names of their contexts, as the settings remember them. */
function named(contexts: readonly Written[], { broker, maxAge: max_age }: SetupOptions): Config['contexts'] {
  return Object.fromEntries(
    contexts.map(({ context, cluster: { name: cluster, server } }) => [context, { broker, cluster, max_age, server }]),
  );
}

/** Each cluster goes to the file that has it already, as `kubectl config` does it; a new one to the file that kubectl would write. */
async function writeClusters(
  host: Pick<Host, 'random'>,
  files: readonly string[],
  usual: string,
  clusters: readonly MetadataCluster[],
  call: PluginCall,
  written: (context: string) => string | undefined,
): Promise<readonly Written[]> {
  const read = new Map(files.map((file) => [file, readKubeconfig(file)] as const));
  const homeOf = (cluster: MetadataCluster) =>
    files.find((file) => hasCluster(read.get(file) as KubeconfigText, cluster.name, call.broker)) ?? usual;
  const done: Written[] = [];
  for (const file of new Set(clusters.map(homeOf))) {
    const others = files.filter((other) => other !== file).map((other) => read.get(other) as KubeconfigText);
    const here = clusters.filter((cluster) => homeOf(cluster) === file);
    done.push(
      ...(await editKubeconfig(host, file, (config) =>
        here.map((cluster) => ({ file, cluster, context: addCluster(config, others, cluster, call, written) })),
      )),
    );
  }
  return done;
}

/** Sets the current context only where kubectl finds none. @returns the one that is current then */
async function setCurrent(
  host: Pick<Host, 'random'>,
  files: readonly string[],
  usual: string,
  context: string | undefined,
): Promise<string> {
  const current = files.flatMap((file) => readKubeconfig(file).currentContext ?? [])[0];
  if (current !== undefined || context === undefined) return current ?? '';
  return editKubeconfig(host, usual, (config) => {
    config.setCurrentContext(context);
    return context;
  });
}

/** Where kuberc lets kubectl run no plugin but those that it names: what to add, in the words of the kubectl that is here. */
async function kubercReport(host: Owner & Program): Promise<string> {
  const { policy } = readAllowed(host);
  if (policy === 'AllowAll') return '';
  const { minor } = await checkKubectl(host);
  const { ok, todo } = checkKuberc(host, minor);
  return ok ? '' : `kuberc does not let kubectl run this plugin yet:\n  ${todo}\n`;
}

function report(
  host: Pick<Host, 'env' | 'platform'>,
  { file: command, slow }: Launcher,
  written: readonly Written[],
  current: string,
): string {
  const lines: string[] = [];
  for (const file of new Set(written.map((one) => one.file))) {
    lines.push(`wrote ${file}`);
    if (slow !== undefined && lines.length === 1) lines.push(`  each kubectl call takes longer: ${slow}`);
    for (const { cluster, context } of written.filter((one) => one.file === file)) {
      const why =
        context === cluster.name ? '' : `: the name ${oneLine(cluster.name)} is used there for something else`;
      lines.push(`  context ${oneLine(context)} for the cluster ${oneLine(cluster.name)}${why}`);
    }
  }
  lines.push('next:');
  const [first] = written;
  if (first && written.every(({ context }) => context !== current)) {
    lines.push(`  kubectl config use-context ${oneLine(first.context)}`);
  }
  lines.push('  kubectl get pods');
  if (!isInPath(host)) {
    const folder = command.slice(0, command.lastIndexOf('/'));
    lines.push('for "kubectl curfew login", "status" and "logout":', `  export PATH="$PATH:${folder}"`);
  }
  return `${lines.join('\n')}\n`;
}

function isInPath({ env, platform }: Pick<Host, 'env' | 'platform'>): boolean {
  const [separator, suffix] = platform === 'win32' ? [';', '.cmd'] : [':', ''];
  return (env.PATH ?? '').split(separator).some((folder) => folder && existsSync(`${folder}/kubectl-curfew${suffix}`));
}
