// A renewal that nobody waits for: no login, no identity provider, no question of a keychain. What it cannot do, the next call
// that needs a token does, with a person who may be asked.

import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { between, earliest, isSeconds, over, plus, type Seconds, seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { chance } from '../host/chance.ts';
import { removeFile, writeWhole } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { withLock } from '../host/lock.ts';
import { isOpenKeychain } from '../secrets/open_keychain.ts';
import type { Key } from '../warm/entry.ts';
import type { Reader } from '../warm/machine.ts';
import { oneLine } from '../warm/one_line.ts';
import { readOurs } from '../warm/read_cache.ts';
import { isNearlyOver } from '../warm/renewal_due.ts';
import { refusedByRecord } from '../warm/session_record.ts';
import type { Client } from './client.ts';
import { readRecord } from './record.ts';
import { ask, RENEWING, takeToken } from './renew.ts';
import { isDue } from './revalidation.ts';

/** What came of the last renewal in the background, where nothing came of it. */
export interface BackgroundFault {
  readonly at: Seconds;
  readonly broker: string;
  readonly cluster: string;
  readonly code: string;
  readonly message: string;
  /** Nothing is asked in the background before that: the broker had no room. */
  readonly not_before?: Seconds | undefined;
}

/** No broker, and no clock that was set, keeps renewals away for longer. */
const LONGEST_REST = seconds(60);

/** @param retry_after as the broker said it; those who heard the same do not come back together */
export function restUntil(host: Pick<Host, 'now' | 'random'>, retry_after: number): Seconds {
  const rest = seconds(Math.ceil(retry_after * (1 + chance(host))));
  return plus(host.now(), earliest(LONGEST_REST, rest));
}

/** Whether this broker is left alone still. */
export function rests({ broker, not_before }: BackgroundFault, url: string, now: Seconds): boolean {
  if (not_before === undefined || broker !== url || over(not_before, now)) return false;
  return between(now, not_before) <= LONGEST_REST;
}

/**
 * Renews the token that the cache has, if that is still due. A refusal is left to the next call: that one can do more about it.
 *
 * @param still throws when it is too late for a renewal that counts as the use it is
 * @throws CurfewError whatever kept it from renewing
 */
export async function renewQuietly(client: Client, key: Key, still: () => void): Promise<void> {
  const due = () => {
    const entry = client.cache.read(key);
    return entry && isNearlyOver(entry, client.host.now()) ? entry : undefined;
  };
  const work = async () => {
    still();
    const entry = due();
    const record = readRecord(client.host, client.url);
    if (!entry || !record || refusedByRecord(record)) return true;
    // A refresh token may rotate, and a kill between its use and its keeping would cost the login.
    if (isDue(entry, record, client.host.now())) return true;
    if (record.kept_in === 'keychain' && !(await isOpenKeychain(client.host))) return true;
    const secret = await client.secrets.load(client.url, record.kept_in);
    if (typeof secret === 'string') throw new CurfewError('unavailable', secret);
    if (secret.handle === undefined) return true;
    const kept = { record, secret };
    const answer = await ask(client, key, kept);
    if (!answer.reply)
      throw new CurfewError('unavailable', `the broker refuses: ${oneLine(answer.refusal.error_description)}`);
    takeToken(client, key, answer, kept);
    return true;
  };
  await withLock(client.host, [client.url, 'renew'], RENEWING, work, () => (due() ? undefined : true));
}

function faultFile(directory: string): string {
  return `${directory}/background.json`;
}

/** For `doctor`. Never fails. */
export function noteBackgroundFault(
  host: Pick<Host, 'random'>,
  directory: string | undefined,
  fault: BackgroundFault | undefined,
): void {
  if (directory === undefined) return;
  try {
    if (fault) writeWhole(faultFile(directory), JSON.stringify(fault), host);
    else removeFile(faultFile(directory));
  } catch {
    // A cache that cannot be written says so itself.
  }
}

export function lastBackgroundFault(reader: Reader, directory: string): BackgroundFault | undefined {
  const content = readOurs(reader, faultFile(directory))?.content;
  const value = content === undefined ? undefined : parseJson(content);
  if (!isObject(value) || !isSeconds(value.at)) return undefined;
  const { at, broker, cluster, code, message, not_before } = value;
  if (typeof broker !== 'string' || typeof cluster !== 'string') return undefined;
  if (typeof code !== 'string' || typeof message !== 'string') return undefined;
  return { at, broker, cluster, code, message, ...(isSeconds(not_before) && { not_before }) };
}
