// `sessions list` and `sessions end`: one's own sessions at a broker, and those of others for administrators.

import { sayDuration } from '../../shared/duration.ts';
import { CurfewError } from '../../shared/errors.ts';
import { between, type Seconds } from '../../shared/time.ts';
import { isSessionList, isSessionsEnded, type SessionInfo, type SessionsEnded } from '../../shared/wire.ts';
import { chooseBroker } from '../host/config.ts';
import type { Host } from '../host/host.ts';
import { type Client, createClient } from '../session/client.ts';
import { type EndEffect, sayEffects } from '../session/end_effect.ts';
import { readRecord } from '../session/record.ts';
import { oneLine } from '../warm/one_line.ts';
import { forgetSession } from './logout.ts';
import { askAsSession } from './session_request.ts';

interface BrokerOptions {
  readonly broker?: string;
  readonly caFile?: string;
}

export interface ListOptions extends BrokerOptions {
  readonly all?: boolean;
  readonly output?: string;
}

export interface EndOptions extends BrokerOptions {
  readonly user?: string;
  readonly all?: boolean;
  readonly reason?: string;
}

export async function listCommand(host: Host, { broker, caFile, all = false, output }: ListOptions): Promise<void> {
  const client = createClient(host, chooseBroker(host, broker), caFile);
  const { sessions, broker_time } = await everyPage(client, all);
  const clusters = await endEffects(client);
  if (output === 'json') host.print(`${JSON.stringify({ broker_time, sessions, clusters }, null, 2)}\n`);
  else host.print(table(sessions, broker_time, all) + connections(sessions, broker_time) + effects(clusters));
}

/** It is worth asking for, but the list is what was asked for. */
const DEADLINE_MS = 2_000;

/** @returns `undefined` when the broker does not say */
async function endEffects({ broker }: Pick<Client, 'broker'>): Promise<readonly EndEffect[] | undefined> {
  try {
    const metadata = await broker.metadata(DEADLINE_MS);
    return metadata.clusters.map(({ name, credential, end_within }) => ({ name, credential, end_within }));
  } catch (error) {
    if (error instanceof CurfewError) return undefined;
    throw error;
  }
}

function effects(clusters: readonly EndEffect[] = []): string {
  return clusters.length === 0 ? '' : `an end takes effect: ${oneLine(sayEffects(clusters))}\n`;
}

async function everyPage(client: Client, all: boolean) {
  const sessions: SessionInfo[] = [];
  for (let after: string | undefined; ; ) {
    const query = { ...(all && { all: 'true' }), ...(after !== undefined && { after }) };
    const page = await askAsSession(client, { method: 'GET', query }, isSessionList);
    sessions.push(...page.sessions);
    if (page.next === undefined || page.next === after) return { sessions, broker_time: page.broker_time };
    after = page.next;
  }
}

/** @throws CurfewError the first failure, after the others were ended all the same */
export async function endCommand(host: Host, sids: readonly string[], options: EndOptions): Promise<void> {
  const { broker, caFile, user, all, reason } = options;
  if ([sids.length > 0, user !== undefined, all === true].filter(Boolean).length !== 1) {
    const hint = 'see: kubectl curfew sessions end --help';
    throw new CurfewError('usage', 'expected session ids, or --user, or --all', { hint });
  }
  const client = createClient(host, chooseBroker(host, broker), caFile);
  const common = reason === undefined ? {} : { reason };
  // The one that asks comes last.
  const own = readRecord(host, client.url)?.session?.sid;
  const ordered = [...new Set(sids)].sort((a, b) => Number(a === own) - Number(b === own));
  const requests =
    sids.length > 0
      ? ordered.map((sid) => ({ path: `/${encodeURIComponent(sid)}`, query: common }))
      : [{ query: { ...common, ...(user === undefined ? { all: 'true' } : { user }) } }];
  let failure: unknown;
  let count = 0;
  for (const request of requests) {
    try {
      const { ended } = await askAsSession(client, { method: 'DELETE', ...request }, isSessionsEnded);
      count += ended.length;
      for (const { sid, username } of ended) host.print(`ended ${oneLine(sid)} of ${oneLine(username)}\n`);
      await forgetOwn(client, ended);
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  // Who ends somebody's sessions must learn that none were: another spelling of the name, another broker.
  if (count === 0) throw new CurfewError('no_such_session', `nothing was ended: ${whose(user)}`);
}

function whose(user: string | undefined): string {
  return user === undefined ? 'there is no such active session' : `there is no active session of ${oneLine(user)}`;
}

/** What is kept here of a session that was just ended is worth nothing any more. */
async function forgetOwn(client: Client, ended: SessionsEnded['ended']): Promise<void> {
  const own = readRecord(client.host, client.url)?.session?.sid;
  if (ended.some(({ sid }) => sid === own)) await forgetSession(client, ({ sid }) => sid === own);
}

/** Of each session below the table; nothing where none is open. */
function connections(sessions: readonly SessionInfo[], now: Seconds): string {
  const lines = sessions.flatMap(({ sid, connections: open = [] }) =>
    open.map(({ target, account, kind, since, address }) => {
      const as = account === undefined ? '' : ` as ${account}`;
      return oneLine(
        `${sid} is connected to ${target} (${kind})${as} from ${address}, for ${sayDuration(between(since, now))}`,
      );
    }),
  );
  return lines.map((line) => `${line}\n`).join('');
}

function table(sessions: readonly SessionInfo[], now: Seconds, all: boolean): string {
  if (sessions.length === 0) return 'no active session\n';
  const head = ['SESSION', ...(all ? ['PERSON'] : []), 'LOGGED IN', 'LAST USED', 'ENDS', 'FROM'];
  const rows = sessions.map((session) => [
    oneLine(session.sid),
    ...(all ? [oneLine(session.username)] : []),
    `${sayDuration(between(session.auth_time, now))} ago`,
    `${sayDuration(between(session.last_used, now))} ago`,
    `in ${sayDuration(between(now, session.session_end))}`,
    `${from(session)}${session.current ? ' (this one)' : ''}`,
  ]);
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return `${[head, ...rows].map(line).join('\n')}\n`;
}

function from({ address, user_agent }: SessionInfo): string {
  const program = user_agent === undefined ? '' : ` by ${oneLine(user_agent).slice(0, 60)}`;
  return `${oneLine(address)}${program}`;
}
