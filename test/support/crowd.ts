// People who log in, renew, and end their sessions, at whichever broker serves at the moment, while something is done to the brokers. What
// was acknowledged to them is held against every later answer. An answer that never came is asked for again, as a client does.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Chance } from './chance.ts';
import { type Answer, claimsOf, Holder } from './holder.ts';
import { askAuthorization, jtiOf } from './review.ts';
import { ISSUER } from './service.ts';
import type { StaticIssuer } from './static_issuer.ts';

export interface CrowdOptions {
  readonly issuer: StaticIssuer;
  /** Where brokers serve at the moment. */
  readonly urls: () => readonly string[];
  readonly chance: Chance;
  readonly send?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /** What an API server presents: then it also asks about each session that has ended. */
  readonly hook?: string;
  /** Is told each acknowledged end, before anybody asks whether it holds. */
  readonly onEnd?: (sid: string) => void;
}

/** A session, as its holder knows it. */
interface Session {
  readonly holder: Holder;
  /** Where its next request goes, where that is not left to chance. */
  readonly place: { at?: string | undefined };
  readonly handle: string;
  readonly sid: string;
  /** As an API server is told it, and a token's id. */
  readonly user: string;
  readonly jti: string;
}

/** What was acknowledged. */
export interface Acknowledged {
  readonly logins: Set<string>;
  readonly ends: Set<string>;
  readonly tokens: Set<string>;
}

/** A client's own retry of a login is taken for 60 s. */
const RETRIED_MS = 45_000;
const MOST_KEPT = 100;
/** As the revocation endpoint and the API record them. */
const OWN_ENDS: readonly unknown[] = ['logout', 'owner'];
/** A broker that hangs is one that does not answer. */
const ANSWER_MS = 20_000;

export class Crowd {
  readonly acknowledged: Acknowledged = { logins: new Set(), ends: new Set(), tokens: new Set() };
  /** What must never be, in words. */
  readonly faults: string[] = [];
  /** Requests that had no answer; that were sent away for a while; renewals, and requests at an API server, after an end. */
  readonly counts = { unanswered: 0, put_off: 0, refused: 0, denied: 0 };
  /** Milliseconds from an acknowledged end to the first denial at each of the others. */
  readonly denied_ms: number[] = [];
  readonly #options: CrowdOptions;
  #active: Session[] = [];
  #ended: Session[] = [];
  #people = 0;
  #stopping = false;
  #abandoned = false;
  #lives: Promise<void>[] = [];

  constructor(options: CrowdOptions) {
    this.#options = options;
  }

  /** How many answers were acknowledged, of whatever kind. */
  get count(): number {
    const { logins, ends, tokens } = this.acknowledged;
    return logins.size + ends.size + tokens.size;
  }

  start(people: number): void {
    this.#stopping = false;
    this.#lives = Array.from({ length: people }, () => this.#live());
  }

  /** Once what was begun is over: somebody must serve. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#lives);
  }

  /** Whatever comes of what was begun: for a test that is over. */
  abandon(): void {
    this.#stopping = true;
    this.#abandoned = true;
  }

  /** At each broker that serves: who was not logged out continues, who was is refused. */
  async settle(): Promise<void> {
    for (const at of this.#options.urls()) {
      await inTens(this.#active, (session) => this.#mustContinue(session, at));
      await inTens(this.#ended, (session) => this.#mustBeOver(session, at));
    }
  }

  async #live(): Promise<void> {
    while (!this.#stopping) {
      try {
        await this.#story();
      } catch (error) {
        this.faults.push(`unexpected: ${error instanceof Error ? error.stack : String(error)}`);
        return;
      }
    }
  }

  async #story(): Promise<void> {
    const { chance } = this.#options;
    const session = await this.#logIn();
    if (!session) return;
    for (let n = chance.below(3); n > 0; n--) await this.#mustContinue(session);
    await this.#mustBeDenied(session, false, chance.pick(this.#options.urls()));
    const [active, over] = [chance.pick(this.#active), chance.pick(this.#ended)];
    if (active && chance.below(3) === 0) await this.#mustContinue(active);
    if (over && chance.below(3) === 0) await this.#mustBeOver(over);
    if (chance.below(5) > 0) await this.#end(session);
    else this.#active = [...this.#active, session].slice(-MOST_KEPT);
  }

  async #logIn(): Promise<Session | undefined> {
    const { issuer, urls, chance, send = fetch } = this.#options;
    const place: { at?: string | undefined } = {};
    const target = {
      issuer: ISSUER,
      get url() {
        return place.at ?? chance.pick(urls()) ?? NOWHERE;
      },
      send: (url: string, init: RequestInit) => send(url, { ...init, signal: AbortSignal.timeout(ANSWER_MS) }),
    };
    const holder = new Holder(target);
    const [sub, now] = [`person-${chance.seed}-${++this.#people}`, holder.now()];
    const times = { iat: now, exp: now + 300, auth_time: now };
    const who = { sub, email: `${sub}@example.com`, email_verified: true, groups: ['dev'] };
    const token = issuer.sign({ iss: issuer.issuer, aud: 'curfew', ...times, ...who, nonce: holder.nonce });
    const begin = performance.now();
    const answer = await this.#insist(place, () => holder.exchange(token, { audience: 'dev' }));
    if (answer.status !== 200) {
      if (performance.now() - begin < RETRIED_MS) this.#fault(`${sub}: a login is refused`, answer);
      return undefined;
    }
    const { session, refresh_token: handle = '' } = answer.granted;
    this.acknowledged.logins.add(session.sid);
    this.#note(answer, session.sid);
    const jti = jtiOf(answer.granted.access_token);
    return { holder, place, handle, sid: session.sid, user: `curfew:${who.email}`, jti };
  }

  async #mustContinue(session: Session, at?: string): Promise<void> {
    const answer = await this.#renew(session, at);
    if (answer.status === 200) this.#note(answer, session.sid);
    else this.#fault(`${session.sid}: an acknowledged session is lost`, answer);
  }

  async #mustBeOver(session: Session, at?: string): Promise<void> {
    const answer = await this.#renew(session, at);
    this.counts.refused += 1;
    if (answer.status === 200) this.#fault(`${session.sid}: a token after the acknowledged end`, answer);
    else if (!OWN_ENDS.includes(answer.refused.end_reason)) this.#fault(`${session.sid}: its end is not known`, answer);
  }

  /** By the webhook, where it answers. */
  async #mustBeDenied({ sid, user, jti }: Session, over: boolean, at: string | undefined): Promise<void> {
    const { hook } = this.#options;
    if (hook === undefined || at === undefined) return;
    const opinion = await askAuthorization(at, hook, { sid, user, jti }).catch(() => undefined);
    if (opinion?.status !== 200) return;
    if (opinion.denied) this.counts.denied += 1;
    if (opinion.denied === over) return;
    this.faults.push(
      `${sid}: a request ${over ? 'after the acknowledged end is not' : 'of an active session is'} denied`,
    );
  }

  /** While others renew it: what they ask for once the end was acknowledged must be refused. */
  async #end(session: Session): Promise<void> {
    const { chance, urls, onEnd } = this.#options;
    let over = false;
    const renewing = [1, 2].map(async () => {
      for (let again = true; again; ) {
        again = !over;
        if (!again) return this.#mustBeOver(session);
        const answer = await this.#renew(session);
        if (answer.status === 200) this.#note(answer, session.sid);
      }
    });
    const { holder, place, handle, sid } = session;
    let byApi = chance.below(2) === 0;
    const answer = await this.#insist(place, () => {
      // Once it may be over its handle opens no API any more.
      const first = byApi;
      byApi = false;
      return first ? holder.api(handle, { method: 'DELETE', path: `/${sid}` }) : holder.revoke(handle);
    });
    if (answer.status >= 300) this.#fault(`${sid}: an end is refused`, answer);
    const ended_at = performance.now();
    over = true;
    this.acknowledged.ends.add(sid);
    onEnd?.(sid);
    await Promise.all(
      urls().map(async (at) => {
        await Promise.all([this.#mustBeOver(session, at), this.#mustBeDenied(session, true, at)]);
        this.denied_ms.push(performance.now() - ended_at);
      }),
    );
    await Promise.all(renewing);
    this.#ended = [...this.#ended, session].slice(-MOST_KEPT);
  }

  #renew({ holder, place, handle }: Session, at?: string): Promise<Answer> {
    return this.#insist(place, () => holder.renew(handle, 'dev'), at);
  }

  /** Asks until there is an answer of a broker that works. @param at where; a broker that is gone is asked no more */
  async #insist(place: Session['place'], ask: () => Promise<Answer>, at?: string): Promise<Answer> {
    for (;;) {
      if (this.#abandoned) return new Promise<never>(() => undefined);
      const urls = this.#options.urls();
      if (urls.length === 0) {
        await sleep(10);
        continue;
      }
      // The request is sent before anybody else can say where another one goes.
      place.at = at !== undefined && urls.includes(at) ? at : undefined;
      const asked = ask();
      place.at = undefined;
      const answer = await asked.catch(() => undefined);
      // This process may stand still for longer than a broker waits for a request.
      const late = answer?.status === 408;
      if (answer && answer.status !== 503 && !late) return answer;
      if (!answer) this.counts.unanswered += 1;
      else if (!late) {
        this.counts.put_off += 1;
        if (!answer.headers.has('retry-after')) this.#fault('sent away without Retry-After', answer);
      }
      await sleep(20);
    }
  }

  #note(answer: Answer, sid: string): void {
    const { session, access_token } = answer.granted;
    if (session.sid !== sid) this.#fault(`${sid}: got a token of ${session.sid}`, answer);
    const jti = String(claimsOf(access_token).jti);
    if (this.acknowledged.tokens.has(jti)) this.faults.push(`${jti}: two tokens have it`);
    this.acknowledged.tokens.add(jti);
  }

  #fault(what: string, { status, body }: Answer): void {
    this.faults.push(`${what}: ${status} ${JSON.stringify(body).slice(0, 300)}`);
  }
}

const NOWHERE = 'http://127.0.0.1:1';

async function inTens<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  for (let n = 0; n < all.length; n += 10) await Promise.all(all.slice(n, n + 10).map(work));
}
