// The segment of a shell's prompt: who, which cluster, how long still. Empty where the current context is none of ours.
// Part of the warm path: loads nothing, asks nobody.

import { decide } from '../../shared/decide.ts';
import { sayDuration } from '../../shared/duration.ts';
import { memberOf } from '../../shared/json.ts';
import { between, plus, type Seconds, seconds } from '../../shared/time.ts';
import { factsOf, type WireSession } from '../../shared/wire.ts';
import { parseGetToken } from './arguments.ts';
import type { Key } from './entry.ts';
import { ReadKubeconfig, scanKubeconfig } from './kubeconfig_scan.ts';
import type { Machine } from './machine.ts';
import { beneathHome, cacheDirectory } from './paths.ts';
import { readEntry } from './read_cache.ts';
import { recordOf, type SessionRecord } from './session_record.ts';
import { readOrThrow } from './settings.ts';

/** A kubeconfig of some thousand clusters. */
const LARGEST_BYTES = 8 * 1024 * 1024;

/** Reads a file. @returns its value, or `undefined` where there is no file @throws Error where it cannot be read */
export type ReadFile = (file: string) => unknown;

/**
 * @param read knows all of YAML; without it what is usual is read
 * @throws Error where the settings, or a kubeconfig, cannot be read
 */
export function sayPrompt(machine: Machine, read: ReadFile = (file) => scan(machine, file)): string {
  const settings = readOrThrow(machine);
  const context = currentContext(machine, read);
  if (!context) return '';
  const { username, state } = stateOf(machine, context, recordOf(machine, settings, context.broker));
  return `${[username, context.cluster, state].flatMap((part) => (part === undefined ? [] : [plain(part)])).join(' ')}\n`;
}

interface State {
  readonly username?: string | undefined;
  readonly state: string;
}

function stateOf(machine: Machine, context: Key, record: SessionRecord | undefined): State {
  if (!record?.session) return { state: 'not logged in' };
  const { username } = record.session;
  const directory = cacheDirectory(machine.env, machine);
  const entry = directory === undefined ? undefined : readEntry(machine, directory, context).entry;
  if (!record.ended && record.not_admitted?.includes(context.cluster)) return { username, state: 'not admitted' };
  if (record.ended || entry?.refused) return { username, state: 'login required' };
  const known = entry?.session
    ? { session: entry.session, at: entry.minted_local }
    : unused(record.session, record, context);
  const instant = plus(known.session.broker_time, between(known.at, machine.now));
  const { session, target } = known.session.limits;
  // Of what is known without a question to the broker: the session's own limits hold for each cluster as well.
  const verdictsOf = (withRevalidation: boolean) =>
    [target, session].map((limits) => {
      const asked = withRevalidation ? limits : { ...limits, revalidate: undefined };
      return decide({ session, target: asked }, factsOf(known.session), instant);
    });
  const verdicts = verdictsOf(true);
  const denied = verdicts.find((verdict) => !verdict.allow);
  if (denied) return { username, state: denied.reason === 'revalidation_due' ? 'revalidation due' : 'login required' };
  // The identity provider is asked to confirm again without a word to the person: nothing ends then.
  const ends = verdictsOf(false).flatMap((verdict) => (verdict.allow ? [verdict.session_end] : []));
  return { username, state: sayLeft(between(instant, seconds(Math.min(...ends)))) };
}

/** What is known of a cluster that this login has not used yet. */
function unused(session: WireSession, { limits, minted_local }: SessionRecord, { cluster }: Key) {
  const target = (limits && memberOf(limits, cluster))?.target ?? session.limits.session;
  return { session: { ...session, limits: { ...session.limits, target } }, at: minted_local };
}

function sayLeft(left: Seconds): string {
  return sayDuration(left).split(' ').join('');
}

/**
 * Where the current context leads, if the plugin is what it calls: by what the files say themselves, as the same name may mean
 * another cluster elsewhere. Of several files each name is the first one's (client-go).
 */
function currentContext({ env, system }: Machine, read: ReadFile): Key | undefined {
  const separator = system === 'windows' ? ';' : ':';
  const listed = (env.KUBECONFIG ?? '').split(separator).filter((file) => file !== '');
  const usual = beneathHome(env, '.kube/config');
  const configs: ReadKubeconfig[] = [];
  for (const file of listed.length > 0 ? listed : usual === undefined ? [] : [usual]) {
    const value = read(file);
    if (value !== undefined) configs.push(new ReadKubeconfig(value));
  }
  const first = <T>(find: (config: ReadKubeconfig) => T | undefined): T | undefined => {
    for (const config of configs) {
      const found = find(config);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const name = first((config) => config.currentContext);
  const user = name === undefined ? undefined : first((config) => config.userOf(name));
  const words = user === undefined ? undefined : first((config) => config.argumentsOf(user));
  return words && parseGetToken(words)?.key;
}

function scan({ files }: Machine, file: string): unknown {
  const { fault, content } = files.read(file, LARGEST_BYTES, true);
  if (fault === 'ENOENT') return undefined;
  const value = content === undefined ? undefined : scanKubeconfig(content);
  if (value === undefined) throw new Error(`${file} cannot be read here`);
  return value;
}

/** Whatever a shell or a terminal could take for more than text is none. */
function plain(text: string): string {
  return text.replace(/[^A-Za-z0-9 @:._+\-\u00a1-\u024f\u0370-\u1fff\u3040-\ud7ff]/g, '_').slice(0, 80);
}
