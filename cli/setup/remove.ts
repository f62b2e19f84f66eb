// `setup --remove`: what setup wrote for a broker goes, and nothing else; what stays is said.

import { existsSync } from 'node:fs';
import { memberOf } from '../../shared/json.ts';
import { configFileOf, forgetFolder } from '../host/config.ts';
import { cacheDirectoryOf, configDirectoryOf, type Host, type Owner, type Program } from '../host/host.ts';
import { launcherFiles } from '../host/launcher.ts';
import { kubeconfigFiles } from '../kubeconfig/kubeconfig.ts';
import { entriesOf, removeEntries } from '../kubeconfig/removal.ts';
import { KubeconfigText } from '../kubeconfig/text.ts';
import { readRecord } from '../session/record.ts';
import { oneLine } from '../warm/one_line.ts';
import { type Config, OWN_SETTINGS } from '../warm/settings.ts';
import { takeFromKuberc } from './kuberc.ts';
import { removeSsh } from './ssh.ts';
import { readIn, type Writer } from './writer.ts';

export interface RemoveOptions {
  /** From `brokerKey`. */
  readonly broker: string;
  readonly kubeconfig?: string;
  readonly writeKuberc?: boolean;
  /** What is for ssh alone. */
  readonly ssh?: boolean;
  /** Nothing is written: the usual folder is not changed either. */
  readonly dryRun?: boolean;
}

type RemoveHost = Owner & Program & Pick<Host, 'random' | 'say'>;

/** Asks nobody: the broker may be gone. @returns what was done and what stays, in lines */
export async function removeSetup(
  host: RemoveHost,
  writer: Writer,
  config: Config,
  options: RemoveOptions,
): Promise<readonly string[]> {
  const { broker } = options;
  const ssh = await removeSsh(host, writer, broker);
  if (options.ssh) return ssh.length > 0 ? ssh : [`nothing for ssh of ${broker} is set up here`];
  const known = memberOf(config.brokers, broker);
  const { done, stays } = await removeFromKubeconfigs(host, writer, options);
  done.push(...ssh);
  if (!known && done.length === 0) return [`nothing of ${broker} is set up here`];
  const left = without(config, broker);
  if (Object.keys(left.brokers).length === 0) {
    stays.push(...(await takeFromKuberc(host, writer, options.writeKuberc === true)));
    for (const file of launcherFiles(host).filter((one) => existsSync(one))) writer.remove(file);
    done.push(`removed ${configDirectoryOf(host)}/bin, which kubectl ran`);
  }
  if (known) done.push(...forget(host, writer, left, options.dryRun === true));
  stays.push(...sessionLeft(host, broker, known?.ca_file), ...cacheLeft(host));
  return [...done, ...(stays.length === 0 ? [] : ['what stays:', ...stays.map((one) => `  ${oneLine(one)}`)])];
}

async function removeFromKubeconfigs(
  host: RemoveHost,
  writer: Writer,
  { broker, kubeconfig }: RemoveOptions,
): Promise<{ readonly done: string[]; readonly stays: string[] }> {
  const [done, stays]: [string[], string[]] = [[], []];
  const files = kubeconfigFiles(host, kubeconfig).filter((file) => existsSync(file));
  const read = files.map((file) => readIn(writer, file));
  for (const [i, file] of files.entries()) {
    const elsewhere = read.filter((_, at) => at !== i);
    const find = (text: string) => entriesOf(new KubeconfigText(text), elsewhere, broker);
    const found = find(writer.read(file));
    stays.push(...found.stays.map((one) => `${one} (${file})`));
    const names = [...(found.names.get('contexts') ?? [])];
    if (names.length === 0) continue;
    await writer.edit(file, (text) => removeEntries(text, find(text).names));
    done.push(`removed from ${file}: ${names.map(oneLine).join(', ')}`);
  }
  return { done, stays };
}

function without(config: Config, broker: string): Config {
  const brokers = Object.fromEntries(Object.entries(config.brokers).filter(([url]) => url !== broker));
  const contexts = Object.entries(config.contexts ?? {}).filter((entry) => entry[1].broker !== broker);
  const { default: main, ...rest } = config;
  const next = main === broker ? Object.keys(brokers).at(-1) : main;
  return { ...rest, brokers, contexts: Object.fromEntries(contexts), ...(next !== undefined && { default: next }) };
}

/** Settings that a person wrote stay, and so does the file then. */
function forget(host: RemoveHost, writer: Writer, left: Config, rehearsed: boolean): readonly string[] {
  const own = OWN_SETTINGS.some((name) => left[name] !== undefined);
  const file = configFileOf(host);
  if (Object.keys(left.brokers).length > 0 || own) {
    writer.settings(left);
    const next = left.default === undefined ? '' : `; commands mean ${left.default} now`;
    return [`removed from ${file}${next}`];
  }
  writer.remove(file);
  if (!rehearsed) forgetFolder(host);
  return [`removed ${file}`];
}

function sessionLeft(host: RemoveHost, broker: string, ca_file: string | undefined): readonly string[] {
  const record = readRecord(host, broker);
  if (!record?.session || record.ended) return [];
  const flag = ca_file === undefined ? '' : ` --ca-file ${ca_file}`;
  return [`your session at ${broker}, until it ends: kubectl-curfew logout --broker ${broker}${flag}`];
}

function cacheLeft(host: RemoveHost): readonly string[] {
  const directory = cacheDirectoryOf(host);
  return existsSync(directory) ? [`${directory}, with tokens that end by themselves`] : [];
}
