// A session as it leaves the store: parsed once, here. What only finds it (the hash of its handle) does not leave.

import type { Selectable } from 'kysely';
import { memo } from '../../shared/memo.ts';
import type { Yield } from '../../shared/policy.ts';
import type { Gap } from '../../shared/session.ts';
import type { SessionTable } from '../store/tables.ts';
import { parseGaps, textOfGaps } from './gap_text.ts';

/** As it is stored, without what only finds it. */
export type Row = Readonly<Omit<Selectable<SessionTable>, 'handle_hash'>>;

export interface Session extends Omit<Row, 'groups' | 'idp_groups' | 'amr' | 'yields' | 'gaps' | 'idle_before'> {
  /** As Kubernetes sees them. */
  readonly groups: readonly string[];
  /** As the IdP gave them. */
  readonly idp_groups: readonly string[];
  /** None where the IdP said nothing of it. */
  readonly amr: readonly string[];
  /** What rules have yielded, as of its last exchange or renewal. */
  readonly yields: readonly Yield[];
  /** Its own times without use, as far as they matter. */
  readonly gaps: readonly Gap[];
  /** Those of the person's other sessions, from after its login. */
  readonly idle_before: readonly Gap[];
}

/** Of a session what never changes. */
export type Who = Pick<Session, 'sid' | 'iss' | 'sub' | 'username' | 'jkt'>;

/** All of the table but the hash of the handle, which nobody needs to read. */
export const COLUMNS = [
  'sid',
  'iss',
  'sub',
  'username',
  'groups',
  'idp_groups',
  'jkt',
  'idp_sid',
  'auth_time',
  'raw_auth_time',
  'revalidated_at',
  'acr',
  'amr',
  'end_at_most',
  'last_used',
  'longest_idle',
  'gaps',
  'idle_before',
  'over_at',
  'opened_at',
  'address',
  'user_agent',
  'yields',
  'token_exp',
  'end_at_renewal',
  'ended_at',
  'end_reason',
  'replaced_by',
] as const satisfies readonly (keyof Row)[];

type Missing = Exclude<keyof Row, (typeof COLUMNS)[number]>;
const COMPLETE: Missing extends never ? true : never = true;
void COMPLETE;

/** @param row fresh from the store: it becomes the session, as one is read with each request at an API server */
export function sessionOf(row: Row): Session {
  const { groups, idp_groups, amr, yields, gaps, idle_before } = row;
  return Object.assign(row as object, {
    groups: texts(groups),
    idp_groups: texts(idp_groups),
    amr: amr === null ? NONE : texts(amr),
    yields: yieldsIn(yields),
    gaps: parseGaps(gaps),
    idle_before: parseGaps(idle_before),
  }) as Session;
}

/** As it is written. */
export function rowOf(session: Session): Row {
  const { groups, idp_groups, amr, yields, gaps, idle_before } = session;
  return {
    ...session,
    groups: JSON.stringify(groups),
    idp_groups: JSON.stringify(idp_groups),
    amr: amr.length === 0 ? null : JSON.stringify(amr),
    yields: JSON.stringify(yields),
    gaps: textOfGaps(gaps),
    idle_before: textOfGaps(idle_before),
  };
}

/** Characters of texts that are remembered: sessions of people alike have the same. */
const MOST_TEXT = 4_000_000;
const NONE: readonly never[] = [];

const texts = remembering<string>();
const yieldsIn = remembering<Yield>();

/** The value of a text that was met before, the very same one: whoever keeps something by it finds it again. */
function remembering<T>(): (text: string) => readonly T[] {
  const parse = memo(MOST_TEXT, (text: string) => JSON.parse(text) as readonly T[], { weigh: ({ length }) => length });
  return (text) => (text === '[]' ? NONE : parse(text));
}
