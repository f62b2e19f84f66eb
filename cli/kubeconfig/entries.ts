// The broker's clusters as clusters, users and contexts of kubeconfig. An entry is ours where its user calls the plugin for that
// broker and cluster; what belongs to anything else is neither changed nor shadowed.

import { formatDuration } from '../../shared/duration.ts';
import type { MetadataCluster } from '../../shared/metadata.ts';
import type { Seconds } from '../../shared/time.ts';
import { printExecInfo } from '../warm/exec_info.ts';
import type { List } from './others.ts';
import type { KubeconfigText } from './text.ts';

type Fields = Readonly<Record<string, unknown>>;

/** How kubeconfig calls the plugin. */
export interface PluginCall {
  readonly command: string;
  /** The version of client.authentication.k8s.io. */
  readonly api: string;
  readonly broker: string;
  readonly max_age: Seconds | undefined;
  readonly ca_file: string | undefined;
}

/** What kubectl reads beside the file that is changed: names there are taken too. */
type Others = readonly Pick<KubeconfigText, 'find' | 'entries'>[];

/**
 * @param written the address under which `setup` has written a context's cluster before, by the context's name: such an entry
 * follows the broker's word
 * @returns the name of its context
 */
export function addCluster(
  config: KubeconfigText,
  others: Others,
  cluster: MetadataCluster,
  call: PluginCall,
  written: (context: string) => string | undefined,
): string {
  const files = [config, ...others];
  const wanted = clusterFields(cluster);
  const name = freeName(files, cluster, call, wanted, written);
  const entry = config.find('clusters', name);
  const before = entry ? fieldOf(entry, 'cluster') : {};
  if (!entry || isOnlyOurs(files, name))
    config.set('clusters', name, { cluster: { ...wanted, ...noLonger(before, wanted) } });
  const user = config.find('users', name);
  config.set('users', name, { user: { exec: execFields(cluster.name, call, execOf(user)) } });
  config.set('contexts', name, { context: { cluster: name, user: name } });
  return name;
}

/** Whether this file has the person's way to a cluster of this broker. */
export function hasCluster(config: Pick<KubeconfigText, 'entries'>, cluster: string, broker: string): boolean {
  return config.entries('users').some((user) => isOurs(user, broker, cluster));
}

function clusterFields({ server, certificate_authority_data }: MetadataCluster): Fields {
  return { server, [AUTHORITY]: certificate_authority_data };
}

const AUTHORITY = 'certificate-authority-data';

/** The authority of another address says nothing of this one. */
function noLonger(before: Fields, wanted: Fields): Fields {
  const moved = before.server !== undefined && before.server !== wanted.server;
  return moved && before[AUTHORITY] !== undefined && wanted[AUTHORITY] === undefined ? { [AUTHORITY]: '' } : {};
}

/** What is ours of `exec`. The rest is the person's where they have set it: variables, whether it may ask them. */
function execFields(cluster: string, { command, api, broker, max_age, ca_file }: PluginCall, before: Fields): Fields {
  const apiVersion = `client.authentication.k8s.io/${api}`;
  const args = ['get-token', '--broker', broker, '--cluster', cluster];
  if (max_age !== undefined) args.push('--max-age', formatDuration(max_age));
  if (ca_file !== undefined) args.push('--ca-file', ca_file);
  const own = Array.isArray(before.env) ? before.env.filter((one: unknown) => nameOf(one) !== INFO) : [];
  return {
    apiVersion,
    command,
    args,
    // Some clients tell the plugin nothing (the official one for JavaScript); what kubectl tells comes after this, and counts.
    env: [{ name: INFO, value: printExecInfo(apiVersion) }, ...own],
    interactiveMode: before.interactiveMode ?? 'IfAvailable',
    provideClusterInfo: before.provideClusterInfo ?? false,
    installHint: before.installHint ?? 'install kubectl-curfew, then run: kubectl-curfew setup',
  };
}

/** A user of ours for one of the broker's clusters, where there was another before. */
export function userOf(cluster: string, call: PluginCall): Fields {
  return { user: { exec: execFields(cluster, call, {}) } };
}

/** What kubeconfig gives to clients that tell the plugin nothing. */
export const INFO = 'KUBERNETES_EXEC_INFO';

/** The cluster's own name, unless kubectl would find something there that is not ours, in any of its files. */
function freeName(
  files: Others,
  { name, server }: MetadataCluster,
  { broker }: PluginCall,
  wanted: Fields,
  written: (context: string) => string | undefined,
): string {
  for (let i = 0; ; i++) {
    const candidate = i === 0 ? name : i === 1 ? `curfew-${name}` : `curfew-${name}-${i}`;
    const users = all(files, 'users', candidate);
    const contexts = all(files, 'contexts', candidate);
    const clusters = all(files, 'clusters', candidate);
    const own = users.length > 0;
    if (!users.every((user) => isOurs(user, broker, name))) continue;
    if (!contexts.every((context) => own && leadsTo(context, candidate))) continue;
    const fits = (cluster: Fields) => {
      if (sameFields(fieldOf(cluster, 'cluster'), wanted)) return true;
      const address = fieldOf(cluster, 'cluster').server;
      return own && isOnlyOurs(files, candidate) && (address === server || address === written(candidate));
    };
    if (clusters.every(fits)) return candidate;
  }
}

/** Whether every context that names this cluster entry is ours: then a change to it changes nothing else. */
function isOnlyOurs(files: Others, name: string): boolean {
  const contexts = files.flatMap((file) => file.entries('contexts'));
  const users = contexts.filter((entry) => fieldOf(entry, 'context').cluster === name);
  return users.length > 0 && users.every((entry) => leadsTo(entry, name));
}

function leadsTo(entry: Fields, name: string): boolean {
  const { cluster, user } = fieldOf(entry, 'context');
  return cluster === name && user === name;
}

function all(files: Others, list: List, name: string): Fields[] {
  return files.flatMap((file) => {
    const found = file.find(list, name);
    return found ? [found] : [];
  });
}

function isOurs(user: Fields, broker: string, cluster: string): boolean {
  const call = callOf(fieldOf(user, 'user'));
  return call?.broker === broker && call.cluster === cluster;
}

/** Whom a user entry asks: `undefined` where it does not call the plugin. */
export function callOf(user: Fields): { readonly broker?: string; readonly cluster?: string } | undefined {
  const { args } = fieldOf(user, 'exec');
  if (!Array.isArray(args) || args[0] !== 'get-token') return undefined;
  const after = (flag: string): string | undefined => {
    const at = args.indexOf(flag);
    const value: unknown = at === -1 ? undefined : args[at + 1];
    return typeof value === 'string' ? value : undefined;
  };
  const [broker, cluster] = [after('--broker'), after('--cluster')];
  return { ...(broker !== undefined && { broker }), ...(cluster !== undefined && { cluster }) };
}

function execOf(entry: Fields | undefined): Fields {
  return entry ? fieldOf(fieldOf(entry, 'user'), 'exec') : {};
}

function fieldOf(value: Fields, key: string): Fields {
  const field: unknown = value[key];
  return typeof field === 'object' && field !== null && !Array.isArray(field) ? (field as Fields) : {};
}

function nameOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'name' in value ? value.name : undefined;
}

/** No field more, none less. */
function sameFields(found: Fields, wanted: Fields): boolean {
  const names = Object.keys(wanted).filter((key) => wanted[key] !== undefined);
  return Object.keys(found).length === names.length && names.every((key) => found[key] === wanted[key]);
}
