// The targets of a broker as its metadata last told of them, and which accounts the person got there: saves a round trip, and a shell
// completes by it. No secret. Without it the broker is asked.

import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import type { Metadata } from '../../shared/metadata.ts';
import { isMetadataTarget, type MetadataTarget } from '../../shared/targets.ts';
import { isSeconds, over, plus, type Seconds, seconds } from '../../shared/time.ts';
import { isObject, isTexts } from '../../shared/wire.ts';
import { writeWhole } from '../host/files.ts';
import type { Reader } from '../warm/machine.ts';
import { oneLine } from '../warm/one_line.ts';
import { fileName } from '../warm/paths.ts';
import { readOurs } from '../warm/read_cache.ts';
import type { Client } from './client.ts';

export interface KnownTargets {
  /** Our clock when the broker told. */
  readonly at: Seconds;
  readonly targets: readonly MetadataTarget[];
  /** Which the broker gave, by the target's name. */
  readonly accounts: Readonly<Record<string, readonly string[]>>;
}

type Knowing = Pick<Client, 'cache' | 'host' | 'url'>;

/** So long a change of addresses and certificates may go unseen; what fails is asked again at once. */
const GOOD_FOR = seconds(300);

/** @returns what the cache has, however old */
export function knownTargets({ cache, host, url }: Knowing): KnownTargets | undefined {
  return cache.directory === undefined ? undefined : targetsIn(host, cache.directory, url);
}

/** The same of a folder that nobody has opened. */
export function targetsIn(reader: Reader, directory: string, url: string): KnownTargets | undefined {
  const content = readOurs(reader, fileIn(directory, url))?.content;
  const value = content === undefined ? undefined : parseJson(content);
  if (!isObject(value) || !isSeconds(value.at) || !isObject(value.accounts)) return undefined;
  const { at, targets, accounts } = value;
  if (!Array.isArray(targets) || !targets.every(isMetadataTarget) || !areAccounts(accounts)) return undefined;
  return { at, targets, accounts };
}

function areAccounts(value: unknown): value is KnownTargets['accounts'] {
  return isObject(value) && Object.values(value).every(isTexts);
}

/** Never fails: without it a round trip more is made. */
export function rememberTargets(client: Knowing, { targets = [] }: Pick<Metadata, 'targets'>): void {
  const before = knownTargets(client);
  if (targets.length === 0 && !before) return;
  write(client, { at: client.host.now(), targets, accounts: before?.accounts ?? {} });
}

/** Notes which account the broker gave, for completion. */
export function noteAccount(client: Knowing, target: string, account: string | undefined): void {
  const known = knownTargets(client);
  const before = Object.entries(known?.accounts ?? {});
  const list = before.find(([name]) => name === target)?.[1] ?? [];
  if (!known || account === undefined || list.includes(account)) return;
  const others = before.filter(([name]) => name !== target);
  write(client, { ...known, accounts: Object.fromEntries([...others, [target, [...list, account].sort()]]) });
}

function write(client: Knowing, known: KnownTargets): void {
  const { directory } = client.cache;
  try {
    if (directory !== undefined) writeWhole(fileIn(directory, client.url), JSON.stringify(known), client.host);
  } catch {
    // The next call asks the broker.
  }
}

function fileIn(directory: string, url: string): string {
  return `${directory}/${fileName('targets', url)}`;
}

/**
 * The target of a name.
 *
 * @param afresh by the broker's word of now
 * @throws CurfewError `invalid_target` where the broker has none of this name
 */
export async function targetNamed(
  client: Knowing & Pick<Client, 'broker'>,
  name: string,
  afresh = false,
): Promise<MetadataTarget> {
  const known = afresh ? undefined : knownTargets(client);
  const now = client.host.now();
  if (known && known.at <= now && !over(plus(known.at, GOOD_FOR), now)) {
    const found = known.targets.find((target) => target.name === name);
    if (found) return found;
  }
  const metadata = await client.broker.metadata();
  rememberTargets(client, metadata);
  return findTarget(metadata, name);
}

/** @throws CurfewError `invalid_target` that says which there are */
export function findTarget({ targets = [], clusters }: Pick<Metadata, 'targets' | 'clusters'>, name: string) {
  const found = targets.find((target) => target.name === name);
  if (found) return found;
  const names = targets.map((target) => target.name).join(', ');
  if (clusters.some((cluster) => cluster.name === name)) {
    const hint = `${oneLine(name)} is a cluster: kubectl --context ${oneLine(name)} get pods`;
    throw new CurfewError('invalid_target', `the broker has no target ${oneLine(name)}`, { hint });
  }
  const hint = names === '' ? 'ask who runs the broker: it has no targets' : `the broker has: ${oneLine(names)}`;
  throw new CurfewError('invalid_target', `the broker has no target ${oneLine(name)}`, { hint });
}
