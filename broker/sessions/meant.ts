// Whom a word of the identity provider means: its person, its session there, and what is known of either here.

import type { EndReason } from '../../shared/session.ts';
import type { Transaction } from '../store/store.ts';
import { active, read } from './find.ts';
import type { Session } from './session.ts';

/** Whom a signal speaks of: a person, a session at the identity provider, or that session of that person. */
export type Meant = { readonly iss: string } & (
  | { readonly sub: string; readonly idp_sid?: string | undefined }
  | { readonly sub?: undefined; readonly idp_sid: string }
);

/**
 * The active sessions that are meant. Where a session of the IdP is named, those that were opened in it, and those of the
 * person of which that is not known: better one too many than one that continues.
 */
export function sessionsMeant({ db }: Transaction, { iss, sub, idp_sid }: Meant): Promise<Session[]> {
  const ofIssuer = active(db).where('iss', '=', iss);
  if (sub === undefined) return read(ofIssuer.where('idp_sid', '=', idp_sid));
  const ofPerson = ofIssuer.where('sub', '=', sub);
  if (idp_sid === undefined) return read(ofPerson);
  return read(ofPerson.where((eb) => eb.or([eb('idp_sid', '=', idp_sid), eb('idp_sid', 'is', null)])));
}

/**
 * Whether a session of the IdP could be told at all: not where sessions are active and none of them knows its own, as the ID tokens
 * carry no `sid`.
 */
export async function knowsIdpSessions({ db }: Transaction, iss: string): Promise<boolean> {
  const ofIssuer = db.selectFrom('session').select('sid').where('ended_at', 'is', null).where('iss', '=', iss);
  if (await ofIssuer.where('idp_sid', 'is not', null).limit(1).executeTakeFirst()) return true;
  return (await ofIssuer.limit(1).executeTakeFirst()) === undefined;
}

/**
 * Whether what a signal names is known here: the person by a login, the session of the IdP by one that was opened in it within
 * the last 30 days. Sessions of the person that do not know theirs count for each.
 */
export async function isKnown({ db }: Transaction, { iss, sub, idp_sid }: Meant): Promise<boolean> {
  if (sub !== undefined && idp_sid === undefined) {
    const person = db.selectFrom('person').select('sub').where('iss', '=', iss).where('sub', '=', sub);
    return (await person.executeTakeFirst()) !== undefined;
  }
  const opened = db.selectFrom('session').select('sid').where('iss', '=', iss).limit(1);
  const inIt = opened.where('idp_sid', '=', idp_sid ?? '');
  const found = sub === undefined ? inIt : inIt.where('sub', '=', sub);
  if (await found.executeTakeFirst()) return true;
  if (sub === undefined) return false;
  const unsaid = opened.where('sub', '=', sub).where('idp_sid', 'is', null);
  // Two questions, as there is an index for each.
  const [still, over] = [unsaid.where('ended_at', 'is', null), unsaid.where('ended_at', 'is not', null)];
  return ((await still.executeTakeFirst()) ?? (await over.executeTakeFirst())) !== undefined;
}

/** The session ends at its next renewal. The first reason is the one that is kept. */
export async function endAtRenewal({ db }: Transaction, { sid }: Session, reason: EndReason): Promise<void> {
  const due = db.updateTable('session').set({ end_at_renewal: reason }).where('sid', '=', sid);
  await due.where('ended_at', 'is', null).where('end_at_renewal', 'is', null).execute();
}
