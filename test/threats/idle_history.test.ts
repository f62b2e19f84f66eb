// S18 as a property: over any history of logins, uses and policies the broker answers like a model that keeps all of it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import type { Answer, Holder } from '../support/holder.ts';
import { startTestService, type TestService } from '../support/service.ts';

const MINUTE = 60;
const WIDE = 30 * MINUTE;

type Action =
  | { readonly do: 'wait'; readonly length: number }
  | {
      readonly do: 'login';
      readonly key: number;
      readonly age: number;
      readonly audience: 'dev' | 'prod-eu' | undefined;
    }
  | { readonly do: 'use'; readonly which: number; readonly audience: 'dev' | 'prod-eu' }
  | { readonly do: 'policy'; readonly timeout: number }
  | { readonly do: 'sweep' };

const audience = fc.constantFrom('dev', 'prod-eu' as const);
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait'), length: fc.integer({ min: 1, max: 17 * MINUTE }) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('login'),
      key: fc.integer({ min: 0, max: 1 }),
      age: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 90 * MINUTE })),
      audience: fc.option(audience, { nil: undefined }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('use'), which: fc.nat(9), audience }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('policy'), timeout: fc.constantFrom(3, 6, 10, 15) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('sweep') }) },
);

interface Past {
  readonly auth_time: number;
  readonly key: number;
  readonly handle: string;
  /** When it was used, the login first. */
  readonly uses: number[];
  /** `[start, length]` of every gap of the person as of its login. */
  readonly before: readonly Gap[];
  replaced_at?: number;
}

type Gap = readonly [start: number, length: number];

const gapsOf = ({ uses, replaced_at }: Past, now: number): Gap[] =>
  uses.map((use, i) => [use, (uses[i + 1] ?? replaced_at ?? now) - use]);
const denies = (gaps: readonly Gap[], auth_time: number, timeout: number) =>
  gaps.some(([start, length]) => length >= timeout && auth_time < start + timeout);
const isIdle = ({ uses }: Past, now: number) => now - (uses.at(-1) ?? now) >= WIDE;

let service: TestService;
let people = 0;

const policy = (timeout: number) => ({
  policy: {
    failed_logins: { count: 1000, window: '15m' },
    limits: { max_age: '12h', inactivity_timeout: '30m', token_ttl: '5m' },
    segments: [
      { name: 'prod', match: { clusters: ['prod-*'] }, limits: { inactivity_timeout: `${timeout}m`, token_ttl: '1m' } },
    ],
  },
});

const answered = (answer: Answer) => (answer.status === 200 ? 'ok' : (answer.refused.reason ?? ''));

before(async () => {
  service = await startTestService(policy(10));
});
after(() => service.stop());

async function play(actions: readonly Action[]): Promise<void> {
  people += 1;
  const who = { sub: `history-${people}`, email: `history-${people}@example.com` };
  const holders: readonly Holder[] = [service.holder(), service.holder()];
  const sessions: Past[] = [];
  let timeout = 10;
  assert.notEqual((await service.reload(policy(timeout))).outcome, 'refused');
  // Every person begins with all that an earlier one left behind.
  service.advance(MINUTE);
  for (const [i, step] of actions.entries()) {
    const now = service.now;
    const gaps = sessions.flatMap((past) => gapsOf(past, now));
    switch (step.do) {
      case 'wait':
        service.advance(step.length);
        break;
      case 'sweep':
        await service.sweep();
        break;
      case 'policy':
        timeout = step.timeout;
        assert.notEqual((await service.reload(policy(timeout))).outcome, 'refused');
        break;
      case 'login': {
        const holder = holders[step.key];
        assert.ok(holder);
        const auth_time = now - step.age;
        const idle = sessions.filter((past) => past.replaced_at === undefined && isIdle(past, now));
        const login_after = Math.max(0, ...idle.map(({ uses }) => (uses.at(-1) ?? 0) + WIDE));
        let expected = 'ok';
        if (auth_time < login_after) expected = 'login_after';
        else if (step.audience === 'prod-eu' && denies(gaps, auth_time, timeout * MINUTE)) expected = 'idle_too_long';
        const fields = step.audience === undefined ? {} : { audience: step.audience };
        const answer = await service.login(holder, { ...who, auth_time, jti: `${people}-${i}` }, fields);
        assert.equal(answered(answer), expected, `step ${i}`);
        if (answer.status !== 200) break;
        for (const past of sessions) if (past.key === step.key && !isIdle(past, now)) past.replaced_at ??= now;
        const handle = answer.granted.refresh_token ?? '';
        sessions.push({ auth_time, key: step.key, handle, uses: [now], before: gaps });
        break;
      }
      case 'use': {
        const past = sessions[step.which % Math.max(1, sessions.length)];
        const holder = past && holders[past.key];
        if (!holder) break;
        const answer = answered(await holder.renew(past.handle, step.audience));
        if (past.replaced_at !== undefined) assert.equal(answer, 'session_ended', `step ${i}`);
        else if (isIdle(past, now)) assert.ok(['session_ended', 'idle_too_long'].includes(answer), `step ${i}`);
        else {
          const limit = timeout * MINUTE;
          const own = gapsOf(past, now).some(([, length]) => length >= limit);
          const denied = step.audience === 'prod-eu' && (own || denies(past.before, past.auth_time, limit));
          assert.equal(answer, denied ? 'idle_too_long' : 'ok', `step ${i}`);
          if (!denied) past.uses.push(now);
        }
      }
    }
  }
}

const runs = Number(process.env.IDLE_HISTORIES ?? 25);

test(`S18 in ${runs} histories of logins, uses and policies the broker answers like a model that keeps all of it`, async () => {
  const histories = fc.array(action, { minLength: 10, maxLength: 40 });
  await fc.assert(fc.asyncProperty(histories, play), { numRuns: runs, endOnFailure: true });
});
