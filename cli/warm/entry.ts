// One entry of the token cache: its shape, its name, and the parser. Part of the warm path: loads nothing.

import { parseJson } from '../../shared/json.ts';
import { isSeconds, type Seconds } from '../../shared/time.ts';
import { isObject, isWireSession, type Refusal, type WireSession } from '../../shared/wire.ts';
import { checksum } from './checksum.ts';
import { fileName } from './paths.ts';

export const ENTRY_VERSION = 1;
/** The largest entry that is read: a token with its facts is a few KiB. */
export const LARGEST_BYTES = 64 * 1024;
/** A token is not served in its last seconds: it has a way to go. */
export const MARGIN_SECONDS = 10;

/** What an entry is for. All of it is inside the entry and is compared. */
export interface Key {
  /** From `brokerKey`. */
  readonly broker: string;
  readonly cluster: string;
  /** The plugin's own `--max-age`. */
  readonly max_age?: Seconds | undefined;
}

/** A refusal that only a new login changes. */
export interface Remembered extends Pick<Refusal, 'reason' | 'acr_values' | 'retry_after'> {
  readonly message: string;
  readonly end_reason?: string | undefined;
  /** In place of the reason's own. */
  readonly hint?: string | undefined;
}

export interface Entry extends Key {
  /** Our clock when we asked: `now - minted_local` is at least what has passed since `session.broker_time`. */
  readonly minted_local: Seconds;
  readonly session?: WireSession | undefined;
  readonly token?: string | undefined;
  readonly expires_in?: Seconds | undefined;
  readonly refused?: Remembered | undefined;
}

export function entryName({ broker, cluster, max_age }: Key): string {
  return `${fileName(broker, cluster, max_age === undefined ? '' : String(max_age))}.json`;
}

/** @returns the entry, or why it is not one of ours. */
export function parseEntry(text: string, key: Key): Entry | string {
  const value = parseJson(text);
  if (value === undefined) return 'not JSON';
  if (!isObject(value)) return 'not an object';
  if (value.version !== ENTRY_VERSION) return 'another version';
  if (value.broker !== key.broker || value.cluster !== key.cluster || (value.max_age ?? undefined) !== key.max_age) {
    return 'for another broker, cluster or max_age';
  }
  const { minted_local, session, token, expires_in, refused } = value;
  if (!isSeconds(minted_local)) return 'without minted_local';
  if (refused !== undefined) {
    if (!isRemembered(refused) || (session !== undefined && !isWireSession(session))) return 'not a refusal';
    return { ...key, minted_local, session, refused };
  }
  if (!isWireSession(session) || typeof token !== 'string' || token === '' || !isSeconds(expires_in))
    return 'incomplete';
  return { ...key, minted_local, session, token, expires_in };
}

/** With a checksum of all before it as its last field. */
export function printEntry(entry: Entry): string {
  const text = JSON.stringify({ version: ENTRY_VERSION, ...entry }).slice(0, -1);
  return `${text},"sum":"${checksum(text)}"}`;
}

/** Whether a text is byte for byte what `printEntry` made. */
export function isWhole(text: string, sum: (text: string) => string): boolean {
  const [end = '', found] = /,"sum":"([0-9a-f]{16})"\}$/.exec(text) ?? [];
  return found !== undefined && sum(text.slice(0, -end.length)) === found;
}

export function isRemembered(value: unknown): value is Remembered {
  const optional = (text: unknown) => text === undefined || typeof text === 'string';
  return (
    isObject(value) &&
    typeof value.reason === 'string' &&
    typeof value.message === 'string' &&
    optional(value.end_reason) &&
    optional(value.acr_values) &&
    optional(value.hint)
  );
}
