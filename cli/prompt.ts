// The segment of a shell's prompt: who, which cluster, how long still. Empty where the current context is none of ours.
// Part of the warm path: loads nothing, asks nobody.

import { decide } from '../shared/decide.ts';
import { sayDuration } from '../shared/duration.ts';
import { between, plus, type Seconds, seconds } from '../shared/time.ts';
import { factsOf, type WireSession } from '../shared/wire.ts';
import { readEntry } from './cache/read.ts';
import type { Machine } from './machine.ts';
import { absolute, beneathHome, cacheDirectory } from './paths.ts';
import { recordOf, type SessionRecord } from './session_record.ts';
import { type Context, readOrThrow } from './settings.ts';

/** Bytes: a kubeconfig of some thousand clusters. */
const LARGEST = 8 * 1024 * 1024;

/** @throws Error where the settings cannot be read */
export function sayPrompt(machine: Machine): string {
  const settings = readOrThrow(machine);
  const { contexts = {} } = settings;
  const name = currentContext(machine);
  const context = name !== undefined && Object.hasOwn(contexts, name) ? contexts[name] : undefined;
  if (!context) return '';
  const { username, state } = stateOf(machine, context, recordOf(machine, settings, context.broker));
  return `${[username, context.cluster, state].flatMap((part) => (part === undefined ? [] : [plain(part)])).join(' ')}\n`;
}

interface State {
  readonly username?: string | undefined;
  readonly state: string;
}

function stateOf(machine: Machine, context: Context, record: SessionRecord | undefined): State {
  if (!record?.session) return { state: 'not logged in' };
  const { username } = record.session;
  const directory = cacheDirectory(machine.env, machine);
  const entry = directory === undefined ? undefined : readEntry(machine, directory, context).entry;
  if (record.ended || entry?.refused) return { username, state: 'login required' };
  const known = entry?.session
    ? { session: entry.session, at: entry.minted_local }
    : unused(record.session, record, context);
  const instant = plus(known.session.broker_time, between(known.at, machine.now));
  const { session, target } = known.session.limits;
  // Of what is known without a question to the broker: the session's own limits hold for each cluster as well.
  const verdicts = [target, session].map((limits) =>
    decide({ session, target: limits }, factsOf(known.session), instant),
  );
  const denied = verdicts.find((verdict) => !verdict.allow);
  if (denied) return { username, state: denied.reason === 'revalidation_due' ? 'revalidation due' : 'login required' };
  const ends = verdicts.flatMap((verdict) => (verdict.allow ? [verdict.session_end] : []));
  return { username, state: sayLeft(between(instant, seconds(Math.min(...ends)))) };
}

/** What is known of a cluster that this login has not used yet. */
function unused(session: WireSession, { limits, minted_local }: SessionRecord, { cluster }: Context) {
  const target = limits?.[cluster]?.target ?? session.limits.session;
  return { session: { ...session, limits: { ...session.limits, target } }, at: minted_local };
}

function sayLeft(left: Seconds): string {
  return sayDuration(left).split(' ').join('');
}

/** As client-go merges files: the first that names one. */
function currentContext({ env, files, system }: Machine): string | undefined {
  const separator = system === 'windows' ? ';' : ':';
  const listed = (env.KUBECONFIG ?? '').split(separator).filter((file) => file !== '');
  const usual = beneathHome(env, '.kube/config');
  for (const file of listed.length > 0 ? listed : usual === undefined ? [] : [usual]) {
    const content = absolute(file) === undefined ? undefined : files.read(file, LARGEST, true).content;
    const name = content === undefined ? undefined : contextIn(content);
    if (name) return name;
  }
  return undefined;
}

/** The one line that matters: parsing all of a large kubeconfig for a prompt would be felt. */
export function contextIn(text: string): string | undefined {
  if (/^\s*\{/.test(text)) {
    const { 'current-context': name } = JSON.parse(text);
    return typeof name === 'string' ? name : undefined;
  }
  const [, line = ''] = /(?:^|\n)current-context:[ \t]+([^\r\n]*)/.exec(text) ?? [];
  const [, double, single, bare] =
    /^(?:"((?:[^"\\]|\\.)*)"|'((?:[^']|'')*)'|([^\s"'#][^#]*?))\s*(?:\s#.*)?$/.exec(line) ?? [];
  if (double !== undefined) return JSON.parse(`"${double}"`);
  return single?.replaceAll("''", "'") ?? bare;
}

/** Whatever a shell or a terminal could take for more than text is none. */
function plain(text: string): string {
  return text.replace(/[^A-Za-z0-9 @:._+\-\u00a1-\u024f\u0370-\u1fff\u3040-\ud7ff]/g, '_').slice(0, 80);
}
