// An office that comes in: each person has just logged in at the identity provider, and their plugin, by its own code and on connections of
// its own, asks the broker what there is and exchanges the ID token for a session and a token for the cluster. When they come is chance.

import { createPrivateKey, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createBroker } from '../../cli/wire/broker.ts';
import { commit, generateKey, type PrivateJwk } from '../../cli/wire/dpop.ts';
import { createSend, type Send } from '../../cli/wire/http.ts';
import { CurfewError } from '../../shared/errors.ts';
import { fromMilliseconds } from '../../shared/time.ts';
import { chanceOf } from './chance.ts';
import { claimsOf, signJws } from './idp_keys.ts';

export interface Morning {
  /** The broker's, as all know it. */
  readonly url: string;
  /** Of its certificate. */
  readonly ca_file: string;
  readonly idp: { readonly issuer: string; readonly kid: string; readonly key_pem: string };
  readonly people: number;
  /** Within which they all come. */
  readonly seconds: number;
  readonly seed: number;
  /** Whoever finds the broker out of reach tries again, as a machine that stands still for seconds is not the broker's. */
  readonly insisting?: boolean;
}

export interface MorningResult {
  /** Milliseconds from when somebody came to their token, with all that was waited and asked again. */
  readonly latencies: Float64Array;
  /** Of those who have none, why. */
  readonly errors: readonly string[];
  /** Answers by which somebody was asked to come back. */
  readonly sent_away: number;
  /** Of one core, that this process used meanwhile. */
  readonly client_cpu: number;
}

interface Person {
  readonly sub: string;
  readonly key: PrivateJwk;
  readonly nonce_random: string;
  readonly id_token: string;
  /** Milliseconds after the beginning. */
  readonly due: number;
}

const AUDIENCE = 'dev';
const HOST = {
  now: () => fromMilliseconds(Date.now()),
  stopwatch: () => performance.now() / 1000,
  random: randomBytes,
  env: {},
  platform: process.platform,
};

export async function spendMorning(morning: Morning): Promise<MorningResult> {
  const people = peopleOf(morning);
  const latencies: number[] = [];
  const errors: string[] = [];
  const seen = new Set<string>();
  let sent_away = 0;
  const counted = (send: Send): Send => {
    return async (url, request) => {
      const answer = await send(url, request);
      if (answer.status === 429 || answer.status === 503) sent_away += 1;
      return answer;
    };
  };
  const cpu = process.cpuUsage();
  const start = performance.now();
  const comes = async (person: Person) => {
    await sleep(Math.max(0, start + person.due - performance.now()));
    try {
      const ask = () => logIn(morning, person, counted(createSend(HOST, morning.ca_file)));
      const id = await (morning.insisting ? insist(ask) : ask());
      if (seen.has(id)) throw new Error(`two have the session or token ${id}`);
      seen.add(id);
      latencies.push(performance.now() - start - person.due);
    } catch (error) {
      errors.push(`${person.sub}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  await Promise.all(people.map(comes));
  const { user, system } = process.cpuUsage(cpu);
  const client_cpu = (user + system) / 1000 / (performance.now() - start);
  return { latencies: Float64Array.from(latencies), errors, sent_away, client_cpu };
}

/** A client's own retry of a login is taken for 60 s. */
const INSISTING_MS = 45_000;

async function insist<T>(ask: () => Promise<T>): Promise<T> {
  for (const end = performance.now() + INSISTING_MS; ; await sleep(500 + Math.random() * 1000)) {
    try {
      return await ask();
    } catch (error) {
      const away = error instanceof CurfewError && error.code === 'broker_unreachable';
      if (!away || performance.now() > end) throw error;
    }
  }
}

/** @returns session and token, by their ids @throws Error unless both are theirs */
async function logIn({ url }: Pick<Morning, 'url'>, person: Person, send: Send): Promise<string> {
  const { sub, key, id_token, nonce_random } = person;
  const broker = createBroker(url, send, HOST);
  const metadata = await broker.metadata();
  const { client_id } = metadata.identity_provider;
  const { reply, refusal } = await broker.exchange(metadata, key, {
    ...{ id_token, nonce_random, client_id, audience: AUDIENCE },
  });
  if (!reply) throw new Error(`refused: ${refusal.reason}`);
  const claims = claimsOf(reply.access_token);
  const [username, audiences] = [reply.session.username, [claims.aud].flat()];
  const theirs =
    claims.sub === sub && claims.username === username && username.includes(sub) && audiences.includes(AUDIENCE);
  if (!theirs || !reply.refresh_token) throw new Error(`got a token of ${username} for ${audiences.join(', ')}`);
  return `${reply.session.sid} ${String(claims.jti)}`;
}

/** With ID tokens of this moment, as they come from their login. */
function peopleOf({ idp, people, seconds, seed }: Morning): Person[] {
  const chance = chanceOf('morning', seed);
  const signing = { kid: idp.kid, alg: 'RS256', privateKey: createPrivateKey(idp.key_pem) } as const;
  const now = HOST.now();
  return Array.from({ length: people }, (_, n) => {
    const sub = `person-${n}-of-${seed}`;
    const [key, nonce_random] = [generateKey(), randomBytes(32).toString('base64url')];
    const who = { sub, email: `${sub}@example.com`, email_verified: true, groups: ['dev'] };
    const times = { iat: now, exp: now + 900, auth_time: now };
    const claims = { iss: idp.issuer, aud: 'curfew', ...times, ...who, nonce: commit(key, nonce_random) };
    return {
      sub,
      key,
      nonce_random,
      id_token: signJws(signing, claims),
      due: chance.below(seconds * 1_000_000) / 1000,
    };
  });
}
