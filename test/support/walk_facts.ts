// What people know of their sessions while faults come and go: each login and each end was acknowledged, asked for without an answer, or
// never asked for. What each of them may answer later follows from that, and from nothing of the brokers' own.

import type { Holder } from './holder.ts';
import { claimsOf } from './holder.ts';

/** An answer that never came leaves it open whether it was done. */
export type Known = 'no' | 'asked' | 'yes';

export interface Fact {
  readonly sub: string;
  /** As API servers are told it. */
  readonly user: string;
  readonly holder: Holder;
  /** Where its next request goes. */
  readonly place: { at: string };
  readonly id_token: string;
  /** Seconds: the login is then too old, whatever is done. */
  readonly over_at: number;
  /** Milliseconds, as `performance.now` has it. */
  readonly asked_at: number;
  opened: Known;
  ended: Known;
  /** When it was acknowledged, likewise. */
  ended_at: number | undefined;
  handle: string;
  sid: string;
  /** The newest last. */
  tokens: string[];
  /** Proofs of renewals that were granted. */
  proofs: string[];
}

/** Of each fact so many are kept. */
const KEPT = 3;

export class Facts {
  readonly all: Fact[] = [];
  /** Ends others, and is ended by nobody. */
  administrator: Fact | undefined;
  /** What must never be, in words. */
  readonly faults: string[] = [];
  readonly #jtis = new Set<string>();
  readonly #sids = new Map<string, Fact>();

  /** As `faultsOfRecord` takes it. */
  get acknowledged() {
    const opened = this.all.filter((fact) => fact.opened === 'yes');
    const ended = opened.filter((fact) => fact.ended === 'yes');
    return {
      logins: new Set(opened.map(({ sid }) => sid)),
      ends: new Set(ended.map(({ sid }) => sid)),
      tokens: this.#jtis,
    };
  }

  /** Sessions that are active for certain, but for their age. */
  get active(): readonly Fact[] {
    return this.all.filter((fact) => fact.opened === 'yes' && fact.ended === 'no' && fact !== this.administrator);
  }

  get ended(): readonly Fact[] {
    return this.all.filter(({ opened, ended }) => opened === 'yes' && ended === 'yes');
  }

  /** A token that was handed out. @param was_over whether the end was acknowledged before it was asked for */
  granted(
    fact: Fact,
    reply: {
      access_token?: string | undefined;
      refresh_token?: string | undefined;
      session: { sid: string; username: string };
    },
    was_over: boolean,
  ): void {
    const { access_token = '', refresh_token, session } = reply;
    const { sub, user } = fact;
    if (was_over) this.faults.push(`${session.sid}: a token after the acknowledged end`);
    if (session.username !== user) this.faults.push(`${session.sid}: ${user} is in a session of ${session.username}`);
    const owner = this.#sids.get(session.sid) ?? fact;
    if (owner !== fact) this.faults.push(`${session.sid}: ${sub} and ${owner.sub} are in one session`);
    if (fact.sid !== '' && fact.sid !== session.sid) this.faults.push(`${fact.sid}: got a token of ${session.sid}`);
    this.#sids.set(session.sid, fact);
    fact.sid = session.sid;
    if (refresh_token !== undefined) fact.handle = refresh_token;
    fact.opened = 'yes';
    const claims = claimsOf(access_token);
    const jti = String(claims.jti);
    if (this.#jtis.has(jti)) this.faults.push(`${jti}: two tokens have it`);
    this.#jtis.add(jti);
    if (Number(claims.exp) > fact.over_at) this.faults.push(`${session.sid}: a token outlives max_age`);
    fact.tokens = [...fact.tokens, access_token].slice(-KEPT);
  }

  proved(fact: Fact, proof: string): void {
    fact.proofs = [...fact.proofs, proof].slice(-KEPT);
  }
}
