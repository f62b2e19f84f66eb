// A question to the broker in the name of a session, with the identity provider's word where that is wanted again.

import { CurfewError } from '../../shared/errors.ts';
import { oneLine } from '../warm/one_line.ts';
import type { TokenAnswer } from '../wire/broker.ts';
import type { Client } from './client.ts';
import { askToRevalidate, forgetIfLasting, type Kept, type Revalidation, refusesIdToken } from './revalidation.ts';

/** Asks the broker once. @param id_token a newer one of the same login */
export type Asking<R> = (kept: Kept, id_token?: string) => Promise<TokenAnswer<R>>;

export interface Asked<R> {
  readonly answer: TokenAnswer<R>;
  readonly kept: Kept;
  /** Why the identity provider's word is missing, where it was asked for. */
  readonly unvouched?: string | undefined;
}

/**
 * Asks the broker, with a newer ID token where that is due by what is known here, or by the broker's word. The identity
 * provider is asked once at most, and what it cannot say now does not matter while the broker does without.
 *
 * @throws CurfewError `identity_provider` when the broker does not
 */
export async function askRevalidated<R>(client: Client, ask: Asking<R>, start: Kept, due: boolean): Promise<Asked<R>> {
  let revalidation = due ? await askToRevalidate(client, start) : undefined;
  let tried = await askWith(client, ask, revalidation ?? { kept: start });
  if (tried.answer.refusal?.reason === 'revalidation_due' && !revalidation) {
    revalidation = await askToRevalidate(client, tried.kept);
    if (revalidation?.id_token !== undefined) tried = await askWith(client, ask, revalidation);
    else if (revalidation) tried = { ...tried, kept: revalidation.kept };
  }
  if (tried.answer.refusal?.reason !== 'revalidation_due') return tried;
  const away = tried.away ?? revalidation?.away;
  if (away) throw away;
  return { ...tried, unvouched: tried.unvouched ?? tried.kept.record.unvouched };
}

/** Asks with the ID token, and once more without it when it is not taken. */
async function askWith<R>(
  client: Pick<Client, 'host' | 'secrets' | 'url'>,
  ask: Asking<R>,
  { kept, id_token }: Pick<Revalidation, 'kept' | 'id_token'>,
): Promise<Asked<R> & { readonly away?: CurfewError }> {
  if (id_token === undefined) return { answer: await ask(kept), kept };
  try {
    const answer = await ask(kept, id_token);
    if (!refusesIdToken(answer.refusal)) return { answer, kept };
    // By a key that is newer than what the broker knows: it is to be asked again soon, and says nothing of the login.
    if (answer.refusal.reason === 'id_token_key') {
      const away = new CurfewError('id_token_key', oneLine(answer.refusal.error_description));
      return { answer: await ask(kept), kept, away };
    }
    const unvouched = `its newer ID token was refused: ${oneLine(answer.refusal.error_description)}`;
    const left = await forgetIfLasting(client, kept, answer.refusal, unvouched);
    return { answer: await ask(left), kept: left, unvouched };
  } catch (error) {
    // The broker cannot verify the ID token: it does not reach the identity provider.
    if (!(error instanceof CurfewError) || error.code !== 'identity_provider') throw error;
    return { answer: await ask(kept), kept, away: error };
  }
}
