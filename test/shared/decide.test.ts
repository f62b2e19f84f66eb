// Properties of the engine: exact to the second, tightening never allows more, time only takes away.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decide, type Verdict } from '../../shared/decide.ts';
import { combine, type Limits, type WholeLimits } from '../../shared/limits.ts';
import { type Policy, type ResolvedLimits, resolveLimits } from '../../shared/policy.ts';
import type { SessionFacts } from '../../shared/session.ts';
import { plus, type Seconds, seconds } from '../../shared/time.ts';
import { further, limits, living, MAX, now, policy, segment, session, target } from './arbitraries.ts';

const RUNS = { numRuns: 5000 };
const resolved: fc.Arbitrary<ResolvedLimits> = fc
  .tuple(policy, target, further)
  .map(([policy, target, further]) => resolveLimits(policy, target, ...further));

/** The end that struck, as far as time struck it. */
const endOf = (verdict: Verdict) => (verdict.allow ? undefined : verdict.ends && [verdict.ends, verdict.since]);

test('S1 at session_end - 1 a session is allowed, at session_end it is denied since then', () => {
  let met = 0;
  fc.assert(
    fc.property(resolved, session, now, (limits, session, now) => {
      const verdict = decide(limits, session, now);
      if (!verdict.allow) return;
      met++;
      const last = decide(limits, session, seconds(verdict.session_end - 1));
      const next = decide(limits, session, verdict.session_end);
      assert.ok(last.allow);
      assert.equal(last.exp, verdict.session_end);
      assert.equal(last.session_end, verdict.session_end);
      assert.ok(!next.allow);
      assert.equal(next.since, verdict.session_end);
      assert.notEqual(next.reason, 'acr_too_low');
    }),
    RUNS,
  );
  assert.ok(met > 100, `allowed only ${met} times`);
});

test('S1 a limit that denies did not deny one second before the end that it names', () => {
  let met = 0;
  fc.assert(
    fc.property(resolved, living, now, (limits, session, now) => {
      const verdict = decide(limits, session, now);
      if (verdict.allow || verdict.reason === 'acr_too_low' || verdict.since === 0) return;
      met++;
      const before = decide(limits, session, seconds(verdict.since - 1));
      const at = decide(limits, session, verdict.since);
      assert.equal(endOf(before), undefined);
      assert.ok(!at.allow);
      assert.equal(at.reason, verdict.reason);
      assert.equal(at.ends, verdict.ends);
      const first = before.allow || ['acr_too_low', 'revalidation_due'].includes(before.reason);
      if (verdict.ends === undefined) assert.ok(first);
    }),
    RUNS,
  );
  assert.ok(met > 100, `denied only ${met} times`);
});

test('session_end is the earliest of the ends by age, idleness, revalidation and end_at_most, and exp is never later', () => {
  fc.assert(
    fc.property(resolved, session, now, (limits, session, now) => {
      const verdict = decide(limits, session, now);
      if (!verdict.allow) return;
      const { max_age, inactivity_timeout, token_ttl, revalidate } = limits.target;
      const ends = [session.auth_time + max_age, session.last_used + inactivity_timeout, session.end_at_most ?? MAX];
      if (revalidate !== undefined) ends.push((session.revalidated_at ?? session.auth_time) + revalidate);
      assert.equal(verdict.session_end, Math.min(MAX, ...ends));
      assert.equal(verdict.exp, Math.min(now + token_ttl, verdict.session_end));
      assert.ok(now < verdict.exp);
    }),
    RUNS,
  );
});

test('a tighter policy never allows more: no allow appears, no exp and no session_end is later', () => {
  const tightening = fc.record({ wide: limits, segments: fc.array(segment, { maxLength: 2 }), further });
  fc.assert(
    fc.property(policy, target, further, tightening, session, now, (loose, target, given, extra, session, now) => {
      const tight: Policy = {
        limits: combine(loose.limits, extra.wide),
        segments: [...loose.segments, ...extra.segments],
      };
      const before = decide(resolveLimits(loose, target, ...given), session, now);
      const after = decide(resolveLimits(tight, target, ...given, ...extra.further), session, now);
      if (!after.allow) return;
      assert.ok(before.allow);
      assert.ok(after.exp <= before.exp);
      assert.ok(after.session_end <= before.session_end);
    }),
    RUNS,
  );
});

test('tightening one segment never allows more', () => {
  fc.assert(
    fc.property(policy, target, fc.nat(3), limits, session, now, (loose, target, index, extra, session, now) => {
      const segments = loose.segments.map((segment, at) =>
        at === index ? { ...segment, limits: combine(segment.limits, extra) } : segment,
      );
      const before = decide(resolveLimits(loose, target), session, now);
      const after = decide(resolveLimits({ ...loose, segments }, target), session, now);
      if (after.allow) assert.ok(before.allow && after.exp <= before.exp && after.session_end <= before.session_end);
    }),
    RUNS,
  );
});

test('lowering end_at_most never allows more', () => {
  fc.assert(
    fc.property(resolved, session, now, now, (limits, session, lower, now) => {
      const lowered = { ...session, end_at_most: seconds(Math.min(lower, session.end_at_most ?? MAX)) };
      const before = decide(limits, session, now);
      const after = decide(limits, lowered, now);
      if (after.allow) assert.ok(before.allow && after.exp <= before.exp && after.session_end <= before.session_end);
    }),
    RUNS,
  );
});

test('time only takes away: what is allowed later was allowed earlier, and session_end is never later', () => {
  let met = 0;
  fc.assert(
    fc.property(resolved, session, now, now, (limits, session, one, other) => {
      const [t1, t2] = one <= other ? [one, other] : [other, one];
      const earlier = decide(limits, session, t1);
      const later = decide(limits, session, t2);
      if (!later.allow) return;
      met++;
      assert.ok(earlier.allow);
      assert.ok(later.session_end <= earlier.session_end);
      assert.ok(earlier.exp <= later.exp && later.exp <= later.session_end);
    }),
    RUNS,
  );
  assert.ok(met > 100, `allowed only ${met} times`);
});

test('once a limit has ended a session, the same limit has ended it at the same second for ever', () => {
  fc.assert(
    fc.property(resolved, living, now, now, (limits, session, one, other) => {
      const [t1, t2] = one <= other ? [one, other] : [other, one];
      const earlier = endOf(decide(limits, session, t1));
      if (earlier) assert.deepEqual(endOf(decide(limits, session, t2)), earlier);
    }),
    RUNS,
  );
});

test('what ends a session depends on session-wide limits alone, whatever the target, segments and further limits', () => {
  let met = 0;
  fc.assert(
    fc.property(policy, target, further, session, now, (policy, target, further, session, now) => {
      const bare = decide(resolveLimits({ limits: policy.limits, segments: [] }, {}), session, now);
      const full = decide(resolveLimits(policy, target, ...further), session, now);
      assert.deepEqual(endOf(full), endOf(bare));
      if (endOf(full)) met++;
    }),
    RUNS,
  );
  assert.ok(met > 100, `ended only ${met} times`);
});

test('S1 a longest_idle of the limit denies, one second less changes nothing', () => {
  let met = 0;
  fc.assert(
    fc.property(resolved, living, now, (limits, session, now) => {
      const before = decide(limits, session, now);
      const { inactivity_timeout } = limits.target;
      const short = { ...session, longest_idle: seconds(inactivity_timeout - 1) };
      assert.deepEqual(decide(limits, short, now), before);
      const verdict = decide(limits, { ...session, longest_idle: inactivity_timeout }, now);
      assert.ok(!verdict.allow);
      if (!before.allow) return;
      met++;
      const wide = limits.session.inactivity_timeout === inactivity_timeout;
      assert.deepEqual(verdict, {
        ...{ allow: false, reason: 'idle_too_long', since: now, found: inactivity_timeout, limit: inactivity_timeout },
        ...(wide && { ends: 'inactivity_timeout' }),
      });
    }),
    RUNS,
  );
  assert.ok(met > 100, `allowed only ${met} times`);
});

test('what a longest_idle denies stays denied, whatever is used later: only a new login helps', () => {
  const length = fc.noBias(fc.integer({ min: 0, max: 60_000 })).map(seconds);
  let met = 0;
  fc.assert(
    fc.property(resolved, living, now, length, length, (limits, session, one, idle, later) => {
      const facts = { ...session, longest_idle: idle };
      const verdict = decide(limits, facts, one);
      if (verdict.allow || verdict.reason !== 'idle_too_long') return;
      const then = plus(one, later);
      if (verdict.found === idle) met++;
      const used = { ...facts, last_used: then, longest_idle: seconds(Math.max(idle, verdict.found ?? 0)) };
      assert.ok(!decide(limits, used, then).allow);
    }),
    RUNS,
  );
  assert.ok(met > 100, `denied only ${met} times`);
});

test('a longer longest_idle and an earlier idle_end never allow more', () => {
  const grown = fc.record({ a: fc.nat(30_000), b: fc.nat(30_000), idle_end: now });
  fc.assert(
    fc.property(resolved, session, now, grown, (limits, session, now, { a, b, idle_end }) => {
      const before = decide(limits, { ...session, longest_idle: seconds(a) }, now);
      const after = decide(limits, { ...session, longest_idle: seconds(a + b), idle_end }, now);
      if (after.allow) assert.ok(before.allow && after.exp <= before.exp && after.session_end <= before.session_end);
    }),
    RUNS,
  );
});

test('an ended session is denied with its own end_reason, under every policy, at every time', () => {
  fc.assert(
    fc.property(resolved, session, now, (limits, session, now) => {
      if (!session.ended) return;
      const { at, reason } = session.ended;
      assert.deepEqual(decide(limits, session, now), {
        allow: false,
        reason: 'session_ended',
        end_reason: reason,
        since: at,
      });
    }),
    RUNS,
  );
});

test('an acr outside the wanted set is never allowed, and denies no more than the target', () => {
  fc.assert(
    fc.property(resolved, session, now, (limits, session, now) => {
      const verdict = decide(limits, session, now);
      const wanted = limits.target.acr;
      if (verdict.allow) assert.ok(wanted === undefined || (session.acr !== undefined && wanted.includes(session.acr)));
      else if (verdict.reason === 'acr_too_low') assert.equal(verdict.ends, undefined);
    }),
    RUNS,
  );
});

test('deciding changes neither the limits nor the session', () => {
  fc.assert(
    fc.property(policy, target, further, session, now, (policy, target, further, session, now) => {
      const before = structuredClone({ policy, target, further, session });
      decide(resolveLimits(policy, target, ...further), session, now);
      assert.deepEqual({ policy, target, further, session }, before);
    }),
  );
});

test('S2 polling every 10 s for a day: max_age still ends the session to the second', () => {
  const day = 86_400;
  const drawn = fc.record({
    auth_time: fc.integer({ min: 1_000_000, max: 1_000_009 }).map(seconds),
    max_age: fc.integer({ min: 3600, max: day - 10 }).map(seconds),
    inactivity_timeout: fc.integer({ min: 11, max: 1800 }).map(seconds),
    token_ttl: fc.integer({ min: 1, max: 600 }).map(seconds),
  });
  fc.assert(
    fc.property(drawn, ({ auth_time, ...limits }) => {
      const { wide, refusals, facts } = poll(limits, auth_time, day);
      const end = auth_time + limits.max_age;
      assert.ok(refusals.length > 0);
      for (const { at, verdict } of refusals) {
        assert.ok(at >= end);
        assert.ok(!verdict.allow && verdict.ends === 'max_age' && verdict.since === end);
      }
      assert.ok(refusals[0] !== undefined && refusals[0].at < end + 10);
      assert.ok(decide(wide, facts, seconds(end - 1)).allow);
      assert.ok(!decide(wide, facts, seconds(end)).allow);
    }),
    { numRuns: 20 },
  );
});

test('S2 polling every 10 s in a segment: its max_age denies it to the second, and the session continues', () => {
  const wide: WholeLimits = { max_age: seconds(43_200), inactivity_timeout: seconds(1800), token_ttl: seconds(300) };
  const policy: Policy = {
    limits: wide,
    segments: [{ name: 'prod', match: { clusters: ['prod-*'] }, limits: { max_age: seconds(905) } }],
  };
  const prod = resolveLimits(policy, { cluster: 'prod-eu' });
  const { facts } = poll(wide, seconds(1_000_000), 1000);
  assert.equal(facts.last_used, 1_000_990);
  assert.ok(decide(prod, facts, seconds(1_000_904)).allow);
  const verdict = decide(prod, facts, seconds(1_000_905));
  assert.ok(!verdict.allow && verdict.reason === 'login_too_old' && verdict.ends === undefined);
  assert.ok(decide(resolveLimits(policy, { cluster: 'dev' }), facts, seconds(1_000_905)).allow);
});

/** Asks every 10 s and touches `last_used` whenever the session is allowed, as a renewal does. */
function poll(limits: WholeLimits & Limits, auth_time: Seconds, lasting: number) {
  const wide = resolveLimits({ limits, segments: [] }, {});
  const refusals: { at: Seconds; verdict: Verdict }[] = [];
  let facts: SessionFacts = { auth_time, last_used: auth_time, end_at_most: plus(auth_time, limits.max_age) };
  for (let at = 0; at < lasting; at += 10) {
    const now = plus(auth_time, seconds(at));
    const verdict = decide(wide, facts, now);
    if (verdict.allow) facts = { ...facts, last_used: now };
    else refusals.push({ at: now, verdict });
  }
  return { wide, refusals, facts };
}

test('S18 a gap of another session denies where it is as long as the limit, and the login from before its idle end', () => {
  const wide = { max_age: seconds(100_000), inactivity_timeout: seconds(50_000), token_ttl: seconds(60) };
  const [small, timeout] = [fc.nat(10_000).map(seconds), fc.integer({ min: 1, max: 5000 }).map(seconds)];
  let met = 0;
  fc.assert(
    fc.property(timeout, small, small, small, (inactivity_timeout, start, length, auth_time) => {
      const limits = { session: wide, target: { ...wide, inactivity_timeout } };
      const at = seconds(60_000);
      const facts = { auth_time, last_used: at };
      const verdict = decide(limits, { ...facts, idle_before: [{ start, length }] }, at);
      const denied = length >= inactivity_timeout && auth_time < start + inactivity_timeout;
      if (!denied) return assert.deepEqual(verdict, decide(limits, facts, at));
      met++;
      const struck = { allow: false, reason: 'idle_too_long', since: at, found: length, limit: inactivity_timeout };
      return assert.deepEqual(verdict, struck);
    }),
    RUNS,
  );
  assert.ok(met > 100, `denied only ${met} times`);
});
