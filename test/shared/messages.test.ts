// The engine's denials in words: one line, lower case, no full stop.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Denied, decide, REASONS } from '../../shared/decide.ts';
import { sayDenial } from '../../shared/messages.ts';
import { resolveLimits } from '../../shared/policy.ts';
import { END_REASONS } from '../../shared/session.ts';
import { seconds } from '../../shared/time.ts';
import { acrs, further, instant, now, policy, session, target } from './arbitraries.ts';

const LINE = /^[a-z][^\n]*[^.\s]$/;
const whole = fc.maxSafeNat().map(seconds);
const denied: fc.Arbitrary<Denied> = fc.record(
  {
    allow: fc.constant(false as const),
    reason: fc.constantFrom(...REASONS),
    since: instant,
    ends: fc.constantFrom('max_age', 'inactivity_timeout'),
    end_reason: fc.constantFrom(...END_REASONS),
    found: whole,
    limit: whole,
    acr_values: fc.oneof(acrs, fc.constant([])),
  },
  { requiredKeys: ['allow', 'reason', 'since'] },
);

test('every denial of the engine is said in one line without a full stop', () => {
  let met = 0;
  fc.assert(
    fc.property(policy, target, further, session, now, (policy, target, further, session, now) => {
      const verdict = decide(resolveLimits(policy, target, ...further), session, now);
      if (verdict.allow) return;
      met++;
      assert.match(sayDenial(verdict), LINE);
      assert.doesNotMatch(sayDenial(verdict), /undefined|null|NaN|Infinity|-\d/);
    }),
    { numRuns: 1000 },
  );
  assert.ok(met > 100, `denied only ${met} times`);
});

test('a denial with anything missing, as an older or newer broker may send it, is said all the same', () => {
  fc.assert(
    fc.property(denied, (denied) => {
      assert.match(sayDenial(denied), LINE);
      assert.doesNotMatch(sayDenial(denied), /undefined|null|NaN|Infinity/);
    }),
    { numRuns: 1000 },
  );
});

test('each reason and each end_reason is said in words of its own', () => {
  const reasons = REASONS.map((reason) => sayDenial({ allow: false, reason, since: seconds(1) }));
  assert.equal(new Set(reasons).size, REASONS.length);
  const ends = [undefined, ...END_REASONS].map((end_reason) =>
    sayDenial({ allow: false, reason: 'session_ended', since: seconds(1), end_reason }),
  );
  assert.equal(new Set(ends).size, END_REASONS.length + 1);
});

test('an old login is said with its age and its limit', () => {
  const denied = { allow: false, since: seconds(1), found: seconds(1109), limit: seconds(900) } as const;
  assert.equal(sayDenial({ ...denied, reason: 'login_too_old' }), 'login is too old: last login 18m ago, limit 15m');
  assert.match(sayDenial({ ...denied, reason: 'idle_too_long' }), /not used for 18m, limit 15m$/);
});

test('a weak login is told which acr values are enough', () => {
  const said = sayDenial({ allow: false, reason: 'acr_too_low', since: seconds(1), acr_values: ['hwk', 'mfa'] });
  assert.match(said, /\bhwk or mfa\b/);
});
