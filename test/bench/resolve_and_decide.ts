// One decision of the engine as the webhook makes it, without HTTP and store: the limits of a target resolved and the session
// judged, with N segments in the policy and what N rules have yielded in the session.

import type { Config } from '../../broker/config/settings.ts';
import { judge } from '../../broker/judgement/request.ts';
import { sessionOf } from '../../broker/sessions/session.ts';
import type { Segment, Yield } from '../../shared/policy.ts';
import { fromMilliseconds, seconds } from '../../shared/time.ts';
import { makeConfigFiles, SETTINGS } from '../broker/config_files.ts';
import type { Bench } from './figure.ts';
import { median } from './statistics.ts';
import { rowOf } from './store.ts';

const NAME = 'resolve_and_decide';
const SIZES = [1, 100, 10_000];
const ROUNDS = 9;
const ROUND_MS = 400;
/** More targets than answers are remembered, in turn: each is looked up anew. */
const NAMESPACES = 20_000;
const LIMITS = { max_age: seconds(43_200), inactivity_timeout: seconds(1800), token_ttl: seconds(300) };

export const resolveAndDecide: Bench = {
  figures: SIZES.map((size) => ({
    name: `${NAME}.${size}.us`,
    unit: 'us',
    says:
      size === 1
        ? 'a decision with 1 segment and 1 rule that holds, over 20,000 namespaces in turn'
        : `with ${size.toLocaleString('en')} of each, one namespace each`,
  })),
  async run({ quick, log }) {
    const base = await (await makeConfigFiles()).load({ policy: { ...SETTINGS.policy, segments: [] } });
    const values: Record<string, number> = {};
    for (const size of SIZES) {
      const decide = decisions(base, size);
      const rounds = Array.from({ length: quick ? 2 : ROUNDS }, () => time(decide, quick ? 20 : ROUND_MS));
      values[`${NAME}.${size}.us`] = median(rounds);
      log(`${size} segments, ${size} rules that hold: ${median(rounds).toFixed(2)} µs`);
    }
    return values;
  },
};

/** @returns what decides about the next target */
function decisions(base: Config, size: number): () => void {
  const numbers = Array.from({ length: size }, (_, i) => i);
  const segments = numbers.map((i): Segment => ({ name: `segment-${i}`, ...partOf(i) }));
  const yields = numbers.map((i): Yield => ({ rule: `rule-${i}`, ...partOf(i) }));
  const config: Config = { ...base, policy: { ...base.policy, segments } };
  const cluster = config.clusters.find(({ name }) => name === 'dev');
  if (!cluster) throw new TypeError('no cluster dev');
  const now = fromMilliseconds(Date.now());
  const held = { sid: 'sid', username: 'curfew:alice@example.com', jkt: '', handle_hash: new Uint8Array() };
  const { issuer: iss } = config.identity_provider;
  const row = { ...rowOf(0, held, { iss, limits: LIMITS, now }), yields: JSON.stringify(yields) };
  const targets = Array.from({ length: NAMESPACES }, (_, i) => ({
    user: row.username,
    within: { namespace: `namespace-${(i * 7919) % NAMESPACES}`, resource: 'pods' },
  }));
  let next = 0;
  return () => {
    const target = targets[next++ % NAMESPACES];
    // A row that was read for this decision.
    if (target && judge(config, cluster, target, sessionOf({ ...row }), now))
      throw new Error('a living session was denied');
  };
}

/** Segment and rule number i are for a namespace of their own. */
function partOf(i: number) {
  const limits = { max_age: seconds(28_800 - (i % 3600)), token_ttl: seconds(120) };
  return { match: { clusters: ['d*'], namespaces: [`namespace-${i}`] }, limits };
}

/** @returns microseconds for each */
function time(decide: () => void, ms: number): number {
  const begin = performance.now();
  let count = 0;
  do {
    for (let i = 0; i < 10; i++) decide();
    count += 10;
  } while (performance.now() - begin < ms);
  return ((performance.now() - begin) * 1000) / count;
}
