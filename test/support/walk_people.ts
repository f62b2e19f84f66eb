// People under faults: they log in, renew, are judged, and end their sessions in every way that there is, each time at some broker that
// serves, and ask again only as clients do. What they are told is held against what they were told before (walk_facts.ts).

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { LOGOUT_EVENT } from '../../broker/audit_log/signals.ts';
import type { Chance } from './chance.ts';
import { type Answer, Holder } from './holder.ts';
import { askAuthentication, askAuthorization, jtiOf } from './review.ts';
import type { StaticIssuer } from './static_issuer.ts';
import { type Fact, Facts } from './walk_facts.ts';

export interface PeopleOptions {
  readonly issuer: StaticIssuer;
  /** What proofs speak of. */
  readonly name: string;
  /** Where brokers serve at the moment. */
  readonly urls: () => readonly string[];
  readonly chance: Chance;
  /** What the API server presents. */
  readonly hook: string;
  /** Of the policy, in seconds. */
  readonly max_age: number;
  /** Whether a gateway lets a request with this token pass; 0 where it does not answer. */
  readonly pass: (token: string) => Promise<number>;
}

const NOWHERE = 'http://127.0.0.1:1';
const ANSWER_MS = 12_000;
/** A client's own retry of a login is taken for 60 s. */
const RETRIED_MS = 40_000;
/** Seconds that some logins have left. */
const SOON = 25;
/** Broker and machine may be in different seconds, and no token is made for the last ten of a session. */
const DOUBT = 12;
/** A gateway that hears nothing of its broker refuses all after 3 s. */
const GATEWAY_MS = 5_000;
const WAYS = ['revoke', 'owner', 'administrator', 'signal'] as const;
type Way = (typeof WAYS)[number];

export class People {
  readonly facts = new Facts();
  readonly counts = { answered: 0, unanswered: 0, put_off: 0, replayed: 0, denied: 0, passed: 0, over_age: 0 };
  readonly ways: Record<Way, number> = { revoke: 0, owner: 0, administrator: 0, signal: 0 };
  readonly #options: PeopleOptions;
  /** Whose login or end is under way: the reply to the last login has the handle that is in use. */
  readonly #busy = new Set<Fact>();
  #stopping = false;
  #lives: Promise<void>[] = [];

  constructor(options: PeopleOptions) {
    this.#options = options;
  }

  /** Resolves once the administrator is in. */
  async start(people: number): Promise<void> {
    const { facts } = this;
    facts.administrator ??= this.#person(['admins']);
    while ((await this.open(facts.administrator)) === undefined) await sleep(50);
    this.#stopping = false;
    this.#lives = Array.from({ length: people }, () => this.#live());
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#lives);
  }

  async #live(): Promise<void> {
    try {
      while (!this.#stopping) {
        await this.#step();
        await sleep(5);
      }
    } catch (error) {
      this.facts.faults.push(`unexpected: ${error instanceof Error ? error.stack : String(error)}`);
    }
  }

  async #step(): Promise<void> {
    const { chance } = this.#options;
    const { active, ended, all } = this.facts;
    const roll = chance.below(16);
    const [one, over] = [chance.pick(active.slice(-40)), chance.pick(ended.slice(-60))];
    if (roll < 4 || !one) return void (await this.open(this.#person(['dev'])));
    if (roll < 8) return void (await this.renew(one));
    if (roll < 10) return this.#judge(one);
    if (roll < 13) return this.end(one, chance.pick(WAYS) ?? 'revoke');
    const doubtful = all.findLast((fact) => fact.opened === 'yes' && fact.ended === 'asked' && !this.#busy.has(fact));
    if (roll < 14 && doubtful) return this.end(doubtful, 'revoke');
    const unsure = all.findLast((fact) => fact.opened === 'asked' && !this.#busy.has(fact) && isFresh(fact));
    if (roll < 15 && unsure) return void (await this.open(unsure));
    if (over) await this.replay(over, this.#somewhere());
  }

  #somewhere(): string {
    return this.#options.chance.pick(this.#options.urls()) ?? NOWHERE;
  }

  #person(groups: readonly string[]): Fact {
    const { issuer, name, chance, max_age } = this.#options;
    const place = { at: NOWHERE };
    const holder = new Holder({
      issuer: name,
      get url() {
        return place.at;
      },
      send: (url, init) => fetch(url, { ...init, signal: AbortSignal.timeout(ANSWER_MS) }),
    });
    const [sub, now] = [`person-${chance.seed}-${this.facts.all.length + 1}`, holder.now()];
    const age = groups.includes('dev') && chance.below(12) === 0 ? max_age - SOON : 0;
    const times = { iat: now, exp: now + 300, auth_time: now - age };
    const who = { sub, email: `${sub}@example.com`, email_verified: true, groups };
    const id_token = issuer.sign({ iss: issuer.issuer, aud: 'curfew', ...times, ...who, nonce: holder.nonce });
    const fact: Fact = {
      ...{ sub, holder, place, id_token, user: `curfew:${who.email}`, over_at: now - age + max_age },
      ...{
        asked_at: performance.now(),
        opened: 'no',
        ended: 'no',
        ended_at: undefined,
        handle: '',
        sid: '',
        tokens: [],
        proofs: [],
      },
    };
    this.facts.all.push(fact);
    return fact;
  }

  /** @returns nothing where there was no answer that says what became of it */
  async #ask(fact: Fact, ask: () => Promise<Answer>, at = this.#somewhere()): Promise<Answer | undefined> {
    // The request is sent before anybody else can say where another one goes.
    fact.place.at = at;
    const asked = ask();
    fact.place.at = NOWHERE;
    const answer = await asked.catch(() => undefined);
    if (!answer || answer.status === 408) this.counts.unanswered += 1;
    else if (answer.status === 503 || answer.status === 429) {
      this.counts.put_off += 1;
      if (!answer.headers.has('retry-after')) this.#fault('sent away without Retry-After', answer);
    } else {
      this.counts.answered += 1;
      return answer;
    }
    await sleep(20);
    return undefined;
  }

  async open(fact: Fact, at?: string): Promise<Answer | undefined> {
    const { facts } = this;
    if (fact.opened === 'no') fact.opened = 'asked';
    const was_over = fact.ended === 'yes';
    this.#busy.add(fact);
    const answer = await this.#ask(fact, () => fact.holder.exchange(fact.id_token, { audience: 'dev' }), at);
    this.#busy.delete(fact);
    if (answer?.status === 200) facts.granted(fact, answer.granted, was_over);
    else if (answer && fact.ended === 'no' && !this.#isOld(fact) && isFresh(fact))
      this.#fault(`${fact.sub}: a login is refused`, answer);
    return answer;
  }

  async renew(fact: Fact, at?: string): Promise<Answer | undefined> {
    const proof = fact.holder.proof();
    const was_over = fact.ended === 'yes';
    const answer = await this.#ask(fact, () => fact.holder.renew(fact.handle, 'dev', {}, proof), at);
    if (answer?.status === 200) {
      this.facts.granted(fact, answer.granted, was_over);
      this.facts.proved(fact, proof);
    } else if (answer && fact.ended === 'no' && this.#isOld(fact)) this.counts.over_age += 1;
    else if (answer && fact.ended === 'no') this.#fault(`${fact.sid}: an acknowledged session is lost`, answer);
    return answer;
  }

  #isOld({ over_at }: Fact): boolean {
    return Math.floor(Date.now() / 1000) >= over_at - DOUBT;
  }

  /** By webhook, introspection and gateway: whatever they say of an active session under faults, they must say nothing that is not so. */
  async #judge(fact: Fact): Promise<void> {
    const { ended_at } = fact;
    const begun = performance.now();
    this.#mustNotPass(fact, await this.#said(fact, this.#somewhere()), begun, ended_at);
  }

  async #said(fact: Fact, at: string): Promise<readonly string[]> {
    const { hook, pass } = this.#options;
    const { user, sid, tokens, holder, place } = fact;
    const token = tokens.at(-1);
    if (token === undefined) return [];
    place.at = at;
    const introspected = holder.introspect(token).catch(() => undefined);
    place.at = NOWHERE;
    const [known, opinion, status, passed] = await Promise.all([
      introspected,
      askAuthorization(at, hook, { user, sid, jti: jtiOf(token) }).catch(() => undefined),
      askAuthentication(at, hook, token).catch(() => undefined),
      pass(token),
    ]);
    const active = (known?.body as { active?: boolean } | undefined)?.active === true;
    if (opinion?.denied) this.counts.denied += 1;
    if (passed === 200) this.counts.passed += 1;
    return [
      ...(known?.status === 200 && active ? ['introspection'] : []),
      ...(opinion?.status === 200 && !opinion.denied ? ['webhook'] : []),
      ...(status?.authenticated === true ? ['TokenReview'] : []),
      ...(passed === 200 ? ['gateway'] : []),
    ];
  }

  /** @param begun when it was asked, and `ended_at` as it was then */
  #mustNotPass({ sid }: Fact, said: readonly string[], begun: number, ended_at: number | undefined): void {
    if (ended_at === undefined) return;
    for (const one of said)
      if (one !== 'gateway' || begun > ended_at + GATEWAY_MS)
        this.facts.faults.push(`${sid}: passes ${Math.round(begun - ended_at)} ms after the acknowledged end: ${one}`);
  }

  async end(fact: Fact, way: Way): Promise<void> {
    const asked = way === 'administrator' ? this.facts.administrator : fact;
    if (!asked || (way === 'owner' && this.#isOld(fact))) return;
    if (fact.ended === 'no') fact.ended = 'asked';
    const { holder, handle, sid } = fact;
    this.#busy.add(fact);
    const answer = await this.#ask(asked, () => {
      if (way === 'revoke') return holder.revoke(handle);
      if (way === 'signal') return this.#signal(fact);
      return asked.holder.api(asked.handle, { method: 'DELETE', path: `/${sid}` });
    });
    this.#busy.delete(fact);
    if (!answer) return;
    // It may have ended by the request before, or for its age.
    if (answer.status >= 300) {
      if (!this.#isOld(fact)) this.#fault(`${sid}: an end is refused (${way})`, answer);
      return;
    }
    fact.ended = 'yes';
    fact.ended_at = performance.now();
    this.ways[way] += 1;
    await Promise.all(this.#options.urls().map((at) => this.renew(fact, at)));
  }

  #signal({ sub, place }: Fact): Promise<Answer> {
    const { issuer } = this.#options;
    const iat = Math.floor(Date.now() / 1000);
    const claims = { iss: issuer.issuer, aud: 'curfew', iat, exp: iat + 120, jti: randomUUID(), sub };
    const token = issuer.sign({ ...claims, events: { [LOGOUT_EVENT]: {} } }, { typ: 'logout+jwt' });
    const body = new URLSearchParams({ logout_token: token });
    const signal = AbortSignal.timeout(ANSWER_MS);
    return fetch(`${place.at}/backchannel-logout`, { method: 'POST', body, signal }).then(
      async (response) =>
        ({ status: response.status, headers: response.headers, body: await response.text() }) as Answer,
    );
  }

  /** Every credential that somebody may have kept of a session that is over. */
  async replay(fact: Fact, at: string): Promise<void> {
    const { holder, handle, id_token, proofs } = fact;
    const { name } = this.#options;
    this.counts.replayed += 1;
    await this.renew(fact, at);
    await this.open(fact, at);
    const proof = proofs.at(-1);
    if (proof !== undefined) {
      const again = await this.#ask(fact, () => holder.renew(handle, 'dev', {}, proof), at);
      if (again?.status === 200)
        this.facts.faults.push(`${fact.sid}: a proof is taken twice after the acknowledged end`);
    }
    const thief = new Holder({ url: at, issuer: name });
    const stolen = await thief.exchange(id_token, { audience: 'dev' }).catch(() => undefined);
    if (stolen?.status === 200) this.facts.faults.push(`${fact.sub}: its ID token is taken of another`);
    const used = await thief.renew(handle, 'dev').catch(() => undefined);
    if (used?.status === 200) this.facts.faults.push(`${fact.sid}: its handle is taken of another`);
    const begun = performance.now();
    this.#mustNotPass(fact, await this.#said(fact, at), begun, fact.ended_at);
  }

  /** After the fault: at each broker who was not logged out continues. @returns what does not yet */
  async continues(fact: Fact, at: string): Promise<string | undefined> {
    if (fact.ended !== 'no' || this.#isOld(fact)) return undefined;
    const answer = await this.renew(fact, at);
    if (answer?.status !== 200) return `a renewal at ${at} has no answer`;
    const said = await this.#said(fact, at);
    const missing = ['introspection', 'webhook', 'TokenReview', 'gateway'].filter((one) => !said.includes(one));
    const is_said = missing.length === 0 || fact.ended.valueOf() !== 'no' || this.#isOld(fact);
    return is_said ? undefined : `denied at ${at}: ${missing.join(', ')}`;
  }

  #fault(what: string, { status, body }: Answer): void {
    this.facts.faults.push(`${what}: ${status} ${JSON.stringify(body).slice(0, 300)}`);
  }
}

function isFresh({ asked_at }: Fact): boolean {
  return performance.now() - asked_at < RETRIED_MS;
}
