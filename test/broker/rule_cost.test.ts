// H12: what a rule can cost. A policy's author may write what they like; whoever brings 500 groups must not stop everybody else.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Condition, parseCondition } from '../../broker/rules/condition.ts';
import { type RuleFacts, variablesOf } from '../../broker/rules/facts.ts';
import { seconds } from '../../shared/time.ts';
import { makeConfigFiles, SETTINGS } from './config_files.ts';

// Of the language's insides, which have no types.
const { OPERATORS } = await import(String(new URL('./operators.js', import.meta.resolve('@marcbachmann/cel-js'))));

const MOST = 500_000;

/** As much as identity, ID token and requests can bring. */
const LARGEST: RuleFacts = {
  user: {
    name: 'n'.repeat(256),
    groups: Array.from({ length: 500 }, (_, i) => `${i}`.padStart(4, '0').padEnd(28, 'g')),
    acr: 'a'.repeat(256),
    amr: Array.from({ length: 50 }, (_, i) => `${i}`.padEnd(256, 'm')),
  },
  request: { address: '2001:db8::1', time: seconds(1_800_000_000), user_agent: 'u'.repeat(200) },
  cluster: {
    name: 'prod-eu',
    labels: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`l${i}`, 'v'.repeat(200)])),
  },
  session: { address: '192.0.2.1' },
};

let steps = 0;
// The language counts nothing: each part of an expression is counted as it is evaluated.
for (const operator of new Set(
  Object.values(OPERATORS as Record<string, { evaluate?: unknown; evaluateSync?: unknown }>),
)) {
  for (const how of ['evaluate', 'evaluateSync'] as const) {
    const evaluate = operator[how] as ((...args: unknown[]) => unknown) | undefined;
    if (!evaluate) continue;
    operator[how] = (...args: unknown[]) => {
      steps += 1;
      return evaluate(...args);
    };
  }
}

function taken(text: string): Condition {
  const parsed = parseCondition(text);
  assert.ok(typeof parsed === 'object', `${text}: ${String(parsed)}`);
  return parsed;
}

/** How many parts were evaluated, whatever came of it. */
function stepsOf(condition: Condition): number {
  steps = 0;
  try {
    condition.holds(variablesOf(LARGEST));
  } catch {
    // A rule that fails denies: that is not this test's.
  }
  return steps;
}

test('H12 steps are counted', () => {
  assert.ok(stepsOf(taken('user.groups.all(g, g != "x")')) > 500);
});

describe('a rule is taken', () => {
  const names = Array.from({ length: 100 }, (_, i) => `"team-${i}"`).join(', ');
  for (const text of [
    'true',
    '"contractors" in user.groups',
    'user.groups.exists(g, g.startsWith("team-"))',
    'user.groups.all(g, g.startsWith("team-") || g.endsWith("-ro")) && "otp" in user.amr',
    `user.groups.exists(g, g in [${names}])`,
    `[${names}].exists(n, n in user.groups)`,
    'user.groups.filter(g, g.startsWith("a")).size() > 3',
    'user.groups.map(g, g.lowerAscii()).exists(g, g == "root")',
    'user.groups.exists_one(g, g.contains("admin"))',
    'user.groups.exists(g, user.amr.exists(a, a == g))',
    'user.name.split("@")[1] in ["example.com", "example.org"]',
    'cel.bind(h, request.time.getHours("Europe/Berlin"), h < 7 || h > 19) && request.user_agent.contains("k9s")',
    'request.time.getHours(cluster.labels.zone) == 9',
    'inNetwork(request.address, cluster.labels.network) && cluster.labels.exists(k, k == "env")',
  ]) {
    test(`H12 ${text.slice(0, 80)}`, () => {
      const condition = taken(text);
      assert.ok(condition.most_steps <= MOST);
      assert.ok(stepsOf(condition) <= condition.most_steps);
    });
  }
});

describe('a rule is refused at load', () => {
  const binds = (count: number) =>
    `cel.bind(a0, user.groups, ${Array.from({ length: count }, (_, i) => `cel.bind(a${i + 1}, a${i} + a${i}, `).join('')}a${count}.size() > 1${')'.repeat(count)})`;
  const texts = (count: number) =>
    `cel.bind(a0, user.name, ${Array.from({ length: count }, (_, i) => `cel.bind(a${i + 1}, a${i} + a${i}, `).join('')}a${count}.contains("x")${')'.repeat(count)})`;
  for (const text of [
    'user.groups.all(a, user.groups.all(b, user.groups.all(c, a != "x" || b != "x" || c != "x")))',
    'user.groups.all(a, user.groups.all(b, a != b || true))',
    'user.groups.exists(a, user.groups.filter(b, b == a).size() > 1)',
    'user.groups.exists(a, user.groups.map(b, b + a).exists(c, c == ""))',
    'user.groups.map(a, user.groups).exists(l, l.exists(b, b == ""))',
    '[user].exists(u, u.groups.exists(a, u.groups.exists(b, a + b == "")))',
    '[user.groups, user.groups].exists(l, l.exists(a, l.exists(b, a + b == "")))',
    '{"x": user.groups}["x"].exists(a, {"y": user.groups}.y.exists(b, a + b == ""))',
    'dyn(user.groups).exists(a, dyn(user["groups"]).exists(b, a == b))',
    '(true ? user.groups : user.amr).exists(a, (false ? user.amr : user.groups).exists(b, a == b))',
    '(user.groups + user.groups).exists(a, a in (user.groups + user.groups))',
    'user.groups.exists(a, user.groups.join(",").contains(a))',
    'user.groups.join(",").split(",").exists(a, user.groups.join(a).split(a).size() == 1)',
    'user.groups.exists(g, request.time.getHours(g) == 1)',
    'user.groups.exists(g, inNetwork(request.address, g) && user.amr.exists(a, a == g))',
    'user.groups.all(g, user.groups == user.groups)',
    'bytes(request.user_agent).json().size() > 0',
    'user.groups.exists(a, user.groups.exists(b, cluster.labels.constructor.contains(a + b)))',
    'user.groups.exists(a, user.groups.exists(b, cluster.labels["toString"].contains(a + b)))',
    'user.groups.exists(a, user.groups.exists(b, {"valueOf": a + b}.valueOf == a))',
    binds(12),
    binds(25),
    texts(25),
  ]) {
    test(`H12 ${text.slice(0, 90)}`, () => {
      const parsed = parseCondition(text);
      assert.ok(typeof parsed === 'string', `taken, with ${typeof parsed === 'object' && parsed.most_steps} steps`);
      assert.match(parsed, /^it can take .* steps for a person with 500 groups|^json\(\)/);
    });
  }

  test('H12 all rules of a policy share one bound: 20 that are dear enough are refused together', async () => {
    const config = await makeConfigFiles();
    const when = 'user.groups.exists(g, user.amr.exists(a, a == g))';
    const rules = (count: number) => ({
      policy: {
        ...SETTINGS.policy,
        rules: Array.from({ length: count }, (_, i) => ({ name: `r${i}`, when, limits: { max_age: '1h' } })),
      },
    });
    assert.deepEqual(await config.faults(rules(2)), []);
    const [fault] = await config.faults(rules(20));
    assert.match(fault ?? '', /^policy\.rules: together they can take/);
  });
});

describe('no accepted rule takes more than it may', () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const { bool } = fc.letrec<{ list: string; text: string; bool: string }>((tie) => {
    const [list, text, bool] = [tie('list'), tie('text'), tie('bool')];
    const macro = (of: string, body: fc.Arbitrary<string>) =>
      fc.tuple(list, name, body).map(([over, v, inner]) => `${over}.${of}(${v}, ${inner})`);
    return {
      list: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.constantFrom('user.groups', 'user.amr', 'user["groups"]', '[user][0].groups'),
        fc.tuple(list, list).map(([l, r]) => `(${l} + ${r})`),
        macro('filter', bool),
        macro('map', text),
        fc.array(text, { minLength: 1, maxLength: 3 }).map((items) => `[${items.join(', ')}]`),
        text.map((one) => `${one}.split("g")`),
        fc.tuple(bool, list, list).map(([t, l, r]) => `(${t} ? ${l} : ${r})`),
      ),
      text: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.constantFrom('user.name', 'user.acr', '"g"', '""', 'request.user_agent', 'a', 'b', 'c'),
        fc.tuple(text, text).map(([l, r]) => `(${l} + ${r})`),
        text.map((one) => `${one}.upperAscii()`),
        list.map((one) => `${one}.join(",")`),
      ),
      bool: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.tuple(text, fc.constantFrom('==', '!=', '<'), text).map(([l, o, r]) => `${l} ${o} ${r}`),
        fc.tuple(text, list).map(([l, r]) => `(${l} in ${r})`),
        macro('exists', bool),
        macro('all', bool),
        macro('exists_one', bool),
        fc.tuple(bool, fc.constantFrom('&&', '||'), bool).map(([l, o, r]) => `(${l} ${o} ${r})`),
        bool.map((one) => `!(${one})`),
        list.map((one) => `(${one}.size() > 400)`),
        fc.tuple(text, text).map(([l, r]) => `${l}.contains(${r})`),
        fc.tuple(name, list, bool).map(([v, l, inner]) => `cel.bind(${v}, ${l}, ${inner})`),
      ),
    };
  });

  test('H12 whatever its form: what is counted stays below what was estimated, and that below the bound', () => {
    let [accepted, dear, refused] = [0, 0, 0];
    // Whole, or within a loop or two, so that its variables are there.
    const whole = fc.tuple(bool, fc.nat(2)).map(([inner, loops]) => {
      const head = ['', 'user.amr.exists(a, ', 'user.groups.exists(b, user.amr.exists(a, '][loops] ?? '';
      return `${head}${inner}${')'.repeat(loops)}`;
    });
    fc.assert(
      fc.property(whole, (text) => {
        const parsed = parseCondition(text);
        if (typeof parsed === 'string') {
          if (parsed.startsWith('it can take')) refused += 1;
          return;
        }
        accepted += 1;
        const counted = stepsOf(parsed);
        if (counted > 2000) dear += 1;
        assert.ok(counted <= parsed.most_steps, `${counted} steps, ${parsed.most_steps} at most`);
        assert.ok(parsed.most_steps <= MOST);
      }),
      { numRuns: 3000 },
    );
    assert.ok(accepted > 100 && dear > 5 && refused > 20, `${accepted} accepted, ${dear} dear, ${refused} refused`);
  });
});
