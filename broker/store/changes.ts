// What one replica tells all others, and itself: each is a row of the feed, written with the transaction that made the change.

import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { isSeconds, type Seconds } from '../../shared/time.ts';
import { isObject, isTexts } from '../../shared/wire.ts';

/** A session is over. */
export interface EndChange {
  readonly kind: 'end';
  readonly at: Seconds;
  readonly sid: string;
  /** An `end_reason`: of a later version that runs beside this one perhaps one that is not known here. */
  readonly reason: string;
  /** Since when it is over. */
  readonly since: Seconds;
  /** The session that judges what this one has minted. */
  readonly replaced_by?: string | undefined;
}

/** Less may be allowed to a session than before; it continues. */
export interface LoweredChange {
  readonly kind: 'lowered';
  readonly at: Seconds;
  readonly sid: string;
  /** Names of the clusters and of the targets where that may matter: no two have one name. */
  readonly clusters: readonly string[];
}

/** A replica has a configuration in force: at its start, or after a reload. */
export interface PolicyChange {
  readonly kind: 'policy';
  readonly at: Seconds;
  /** SHA-256 of its file, hex. */
  readonly digest: string;
}

/** Other keys sign, or some are not published any more. */
export interface KeysChange {
  readonly kind: 'keys';
  readonly at: Seconds;
  /** Ids of those that are not published any more. */
  readonly revoked?: readonly string[] | undefined;
}

/** All that there was has been declared over. */
export interface AllOverChange {
  readonly kind: 'all_over';
  readonly at: Seconds;
}

export const CHANGES = ['end', 'lowered', 'policy', 'keys', 'all_over'] as const satisfies readonly Change['kind'][];
export type Change = EndChange | LoweredChange | PolicyChange | KeysChange | AllOverChange;

/** A change as it is in the table. */
export interface ChangeRow {
  readonly at: Seconds;
  readonly kind: string;
  /** Of the session that it is about. */
  readonly sid: string | null;
  /** JSON of the rest. */
  readonly data: string;
}

export function rowOfChange(change: Change): ChangeRow {
  const { kind, at } = change;
  switch (kind) {
    case 'end': {
      const { sid, reason, since, replaced_by } = change;
      return { at, kind, sid, data: JSON.stringify({ reason, since, replaced_by }) };
    }
    case 'lowered':
      return { at, kind, sid: change.sid, data: JSON.stringify({ clusters: change.clusters }) };
    case 'policy':
      return { at, kind, sid: null, data: JSON.stringify({ digest: change.digest }) };
    case 'keys':
      return { at, kind, sid: null, data: JSON.stringify({ revoked: change.revoked }) };
    case 'all_over':
      return { at, kind, sid: null, data: '{}' };
  }
}

/**
 * @returns `undefined` for a kind that a later version brought: a program that may run beside that version need not know it
 * @throws CurfewError `store` for what no version has written
 */
export function changeOfRow({ at, kind, sid, data }: ChangeRow): Change | undefined {
  const rest = parseJson(data);
  if (!isObject(rest)) throw unreadable();
  switch (kind) {
    case 'end': {
      const { reason, since, replaced_by } = rest;
      if (sid === null || typeof reason !== 'string' || !isSeconds(since)) throw unreadable();
      return { kind, at, sid, reason, since, ...(typeof replaced_by === 'string' && { replaced_by }) };
    }
    case 'lowered': {
      const { clusters } = rest;
      if (sid === null || !isTexts(clusters)) throw unreadable();
      return { kind, at, sid, clusters };
    }
    case 'policy':
      if (typeof rest.digest !== 'string') throw unreadable();
      return { kind, at, digest: rest.digest };
    case 'keys': {
      const { revoked } = rest;
      if (revoked !== undefined && !isTexts(revoked)) throw unreadable();
      return { kind, at, ...(revoked && { revoked }) };
    }
    case 'all_over':
      return { kind, at };
    default:
      return undefined;
  }
}

function unreadable(): CurfewError {
  return new CurfewError('store', 'the feed of changes holds a row that cannot be read');
}
