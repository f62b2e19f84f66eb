// What a call of kubectl leaves behind when its token is nearly over: renews it, says nothing to anybody, and ends soon.

import { readdirSync, truncateSync } from 'node:fs';
import { basename } from 'node:path';
import { CurfewError } from '../../shared/errors.ts';
import { between, isSeconds, over, plus, type Seconds } from '../../shared/time.ts';
import { removeFile } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import {
  type BackgroundFault,
  lastBackgroundFault,
  noteBackgroundFault,
  renewQuietly,
  rests,
  restUntil,
} from '../session/background.ts';
import { type Client, createClient } from '../session/client.ts';
import { parseGetToken } from '../warm/arguments.ts';
import type { Key } from '../warm/entry.ts';
import { NO_LATER_THAN, renewalFile } from '../warm/renewal_due.ts';
import { Patience } from '../wire/patience.ts';

/**
 * @param words `renew-in-background`, when kubectl called (seconds since 1970), and the words of that call
 * @throws CurfewError what went wrong, which is noted as well
 */
export async function renewInBackground(host: Host, words: readonly string[]): Promise<void> {
  const [, called, ...call] = words;
  const at = Number(called);
  const parsed = parseGetToken(call);
  if (!parsed || !isSeconds(at)) throw new CurfewError('usage', 'this command is for the plugin itself');
  const { key, ca_file } = parsed;
  const still = () => refuseLate(host, at);
  const client = createClient(host, key.broker, ca_file, still, new Patience(0, host));
  const { directory } = client.cache;
  const last = directory === undefined ? undefined : lastBackgroundFault(host, directory);
  if (last && rests(last, client.url, host.now())) return;
  if (directory !== undefined) removeClaims(directory, key, at);
  try {
    await renewQuietly(client, key, still);
    noteBackgroundFault(host, directory, undefined);
    if (directory !== undefined) allowNext(renewalFile(directory, key));
  } catch (error) {
    noteBackgroundFault(host, directory, faultOf(client, key, error));
    throw error;
  }
}

function faultOf({ host }: Pick<Client, 'host'>, { broker, cluster }: Key, error: unknown): BackgroundFault {
  const { code, message } = error instanceof CurfewError ? error : { code: 'internal', message: 'unexpected error' };
  const retry_after = error instanceof CurfewError ? error.retry_after : undefined;
  const rest = retry_after === undefined ? {} : { not_before: restUntil(host, retry_after) };
  return { at: host.now(), broker, cluster, code, message, ...rest };
}

/** The native program begins none within 10 s of one that is noted: short tokens are due again sooner than that. */
function allowNext(file: string): void {
  try {
    truncateSync(file);
  } catch {
    // Node.js makes no such file.
  }
}

/** Asked before each request: this machine may have slept, and a renewal now would be a use that nobody made. */
function refuseLate({ now }: Pick<Host, 'now'>, called: Seconds): void {
  const instant = now();
  if (instant >= called && !over(plus(called, NO_LATER_THAN), instant)) return;
  const late = instant < called ? 'the clock was set' : `${between(called, instant)}s after its call`;
  throw new CurfewError('busy', `too late for a renewal in the background: ${late}`);
}

/** Of those that Node.js made for single flight, all but the newest. */
function removeClaims(directory: string, key: Key, at: Seconds): void {
  const start = `${basename(renewalFile(directory, key))}.`;
  for (const name of readdirSync(directory)) {
    if (!name.startsWith(start)) continue;
    if (Number(name.slice(start.length)) < Math.floor(at / NO_LATER_THAN) - 1) removeFile(`${directory}/${name}`);
  }
}
