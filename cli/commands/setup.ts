// `setup`: the broker's clusters become clusters, users and contexts of kubeconfig; or a kubeconfig apart; or they go again.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { memberOf } from '../../shared/json.ts';
import type { Seconds } from '../../shared/time.ts';
import { checkKubectl } from '../doctor/machine.ts';
import { readConfig, requireOwnPlace } from '../host/config.ts';
import { type Clocks, configDirectoryOf, type Host, type Owner, type Program } from '../host/host.ts';
import { type Launcher, launcherOf } from '../host/launcher.ts';
import type { PluginCall } from '../kubeconfig/entries.ts';
import { kubeconfigFile, kubeconfigFiles } from '../kubeconfig/kubeconfig.ts';
import { rememberProbe } from '../secrets/probe.ts';
import { findCluster } from '../session/client.ts';
import { brokerOf, requireByHand } from '../session/trust.ts';
import { writeApart } from '../setup/apart.ts';
import { setCurrent, type Written, writeClusters } from '../setup/clusters.ts';
import { allowInKuberc, sayKuberc } from '../setup/kuberc.ts';
import { removeSetup } from '../setup/remove.ts';
import { refreshSsh, requireSshTargets, type SshSetup, writeSsh, writeSshApart } from '../setup/ssh.ts';
import { createRehearsal, createWriter, type Writer } from '../setup/writer.ts';
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
  /** Only says what would be written. */
  readonly dryRun?: boolean;
  readonly remove?: boolean;
  /** Another kubeconfig, for itself; nothing else is touched. */
  readonly output?: string;
  readonly writeKuberc?: boolean;
  /** Also what ssh needs for targets; with `remove` that alone, with `output` in that file alone. */
  readonly ssh?: boolean;
}

type SetupHost = Clocks & Owner & Program & Pick<Host, 'print' | 'random' | 'say'>;

export async function setupCommand(host: SetupHost, options: SetupOptions): Promise<void> {
  requireOwnPlace(host, `${configDirectoryOf(host)}/bin`);
  if (!options.remove) refuseInsecure(options.broker, host);
  const config = readConfig(host);
  requireByHand(host, config, options.broker);
  const { dryRun = false } = options;
  const rehearsal = createRehearsal(host);
  const writer = dryRun ? rehearsal : createWriter(host);
  const lines = await (options.remove
    ? removeSetup(host, writer, config, options)
    : setUp(host, writer, config, options));
  host.print(dryRun ? rehearsal.report() : `${lines.join('\n')}\n`);
}

/** @returns what was done, and what comes next, in lines */
async function setUp(
  host: SetupHost,
  writer: Writer,
  config: Config,
  options: SetupOptions,
): Promise<readonly string[]> {
  const ca_file = options.caFile === undefined ? undefined : resolve(options.caFile);
  const known = ca_file ?? memberOf(config.brokers, options.broker)?.ca_file;
  const metadata = await createBroker(options.broker, createSend(host, known), host).metadata();
  const clusters =
    options.cluster.length === 0
      ? metadata.clusters
      : [...new Set(options.cluster)].map((name) => findCluster(metadata.clusters, name));
  const callBy = (command: string): PluginCall => ({
    command,
    api: options.execApiVersion,
    broker: options.broker,
    max_age: options.maxAge,
    ca_file: known,
  });
  if (options.ssh) requireSshTargets(metadata.targets);
  const ssh = (command: string): SshSetup => ({ ...options, targets: metadata.targets ?? [], command, ca_file });
  if (options.output !== undefined && options.ssh)
    return await writeSshApart(host, writer, resolve(options.output), ssh(launcherOf(host)));
  if (options.output !== undefined)
    return writeApart(writer, resolve(options.output), clusters, callBy(launcherOf(host)), config);

  const launcher = writer.launcher();
  // Who sets up may just have made a keychain work.
  if (!options.dryRun) rememberProbe(host, undefined);
  const written = (context: string) => memberOf(config.contexts ?? {}, context)?.server;
  const kubeconfigs = {
    files: kubeconfigFiles(host, options.kubeconfig),
    usual: kubeconfigFile(host, options.kubeconfig),
  };
  const contexts = await writeClusters(writer, kubeconfigs, clusters, callBy(launcher.file), written);
  const current = await setCurrent(writer, kubeconfigs, contexts[0]?.context);
  writer.settings({
    ...config,
    brokers: { ...config.brokers, [options.broker]: brokerOf(known, metadata.identity_provider.issuer) },
    contexts: { ...config.contexts, ...named(contexts, options) },
    default: options.broker,
  });
  const { minor } = await checkKubectl(host);
  const kuberc = options.writeKuberc
    ? await allowInKuberc(host, writer, minor, kubeconfigs.files)
    : sayKuberc(host, minor);
  const forSsh = await (options.ssh ? writeSsh : refreshSsh)(host, writer, ssh(launcher.file));
  return [...sayWritten(launcher, contexts), ...forSsh, ...kuberc, ...sayNext(host, launcher, contexts, current)];
}

/** By the names of their contexts, as the settings remember them. */
function named(contexts: readonly Written[], { broker, maxAge: max_age }: SetupOptions): Config['contexts'] {
  return Object.fromEntries(
    contexts.map(({ context, cluster: { name: cluster, server } }) => [context, { broker, cluster, max_age, server }]),
  );
}

function sayWritten({ slow }: Launcher, written: readonly Written[]): readonly string[] {
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
  return lines;
}

function sayNext(
  host: Pick<Host, 'env' | 'platform'>,
  { file: command }: Launcher,
  written: readonly Written[],
  current: string,
): readonly string[] {
  const lines = ['next:'];
  const [first] = written;
  if (first && written.every(({ context }) => context !== current)) {
    lines.push(`  kubectl config use-context ${oneLine(first.context)}`);
  }
  lines.push('  kubectl get pods');
  if (!isInPath(host)) {
    const folder = command.slice(0, command.lastIndexOf('/'));
    lines.push('for "kubectl curfew login", "status" and "logout":', `  export PATH="$PATH:${folder}"`);
  }
  return lines;
}

function isInPath({ env, platform }: Pick<Host, 'env' | 'platform'>): boolean {
  const [separator, suffix] = platform === 'win32' ? [';', '.cmd'] : [':', ''];
  return (env.PATH ?? '').split(separator).some((folder) => folder && existsSync(`${folder}/kubectl-curfew${suffix}`));
}
