// Rules: what an expression may say, what it sees, and what comes of one that cannot be evaluated.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { inNetwork, isNetwork } from '../../broker/net/network.ts';
import { type Condition, parseCondition } from '../../broker/rules/condition.ts';
import { type RuleFacts, variablesOf } from '../../broker/rules/facts.ts';
import { evaluate, type Rule, yieldsOf } from '../../broker/rules/rules.ts';
import type { Match, Yield } from '../../shared/policy.ts';
import { seconds } from '../../shared/time.ts';

const FACTS: RuleFacts = {
  user: { name: 'alice@example.com', groups: ['sre', 'contractors'], acr: 'mfa', amr: ['otp', 'pwd'] },
  // 2027-01-15T08:00:00Z
  request: { address: '10.0.0.7', time: seconds(1_800_000_000), user_agent: 'kubectl-curfew/1' },
  cluster: { name: 'prod-eu', labels: { env: 'prod', network: '10.0.0.0/8', zone: 'Europe/Berlin' } },
  session: { address: '192.0.2.1' },
};

function condition(text: string): Condition {
  const parsed = parseCondition(text);
  assert.ok(typeof parsed === 'object', `${text}: ${String(parsed)}`);
  return parsed;
}

const holds = (text: string, facts: RuleFacts = FACTS) => condition(text).holds(variablesOf(facts));
const at = (time: string): RuleFacts => ({
  ...FACTS,
  request: { ...FACTS.request, time: seconds(Date.parse(time) / 1000) },
});

function rule(name: string, when: string, match?: Match): Rule {
  return { name, when: condition(when), ...(match && { match }), limits: { max_age: seconds(60) } };
}

describe('a condition sees', () => {
  for (const text of [
    'user.name == "alice@example.com"',
    '"contractors" in user.groups && !("root" in user.groups)',
    'user.groups.exists(group, group.startsWith("con"))',
    'user.acr == "mfa" && "otp" in user.amr',
    'request.address == "10.0.0.7" && request.user_agent.contains("curfew")',
    'session.address != request.address',
    'cluster.name == "prod-eu" && cluster.labels.env == "prod" && cluster.labels["env"] == "prod"',
    'has(cluster.labels.env) && "env" in cluster.labels && !("tier" in cluster.labels)',
    'inNetwork(request.address, "10.0.0.0/8") && !inNetwork(session.address, "10.0.0.0/8")',
    'inNetwork(request.address, cluster.labels.network)',
    'request.time > timestamp("2027-01-15T07:59:59Z") && timestamp("2027-01-15T08:00:01Z") > request.time',
    'request.time.getHours() == 8 && request.time.getHours("Europe/Berlin") == 9',
    'request.time.getHours(cluster.labels.zone) == 9',
    'request.time.getDayOfWeek("UTC") == 5 && request.time.getDayOfWeek() in [1, 2, 3, 4, 5]',
  ]) {
    test(text, () => assert.equal(holds(text), true));
  }

  test('T14 and says whether it looks at groups, however they are named', () => {
    for (const text of ['"a" in user.groups', 'user["groups"].size() == 0', '[user].exists(u, "a" in u.groups)']) {
      assert.equal(condition(text).uses_groups, true, text);
    }
    for (const text of ['user.name == "groups"', 'cluster.labels.groups == "a"', '"groups" in user.amr', 'true']) {
      assert.equal(condition(text).uses_groups, false, text);
    }
  });

  test('what is not known as empty, never as absent', () => {
    const bare: RuleFacts = {
      ...FACTS,
      user: { name: 'bob', groups: [], amr: [] },
      request: { address: '10.0.0.7', time: FACTS.request.time },
    };
    assert.equal(holds('user.acr == "" && request.user_agent == "" && user.groups.size() == 0', bare), true);
  });
});

test('an address has one spelling, whatever the socket or proxy says, and a text that is none stays as it is', () => {
  const from = (address: string, login: string): RuleFacts => ({
    ...FACTS,
    request: { ...FACTS.request, address },
    session: { address: login },
  });
  assert.equal(holds('request.address == "10.0.0.7"', from('::ffff:10.0.0.7', '')), true);
  assert.equal(holds('session.address == request.address', from('::ffff:a00:7', '10.0.0.7')), true);
  assert.equal(holds('request.address == "2001:db8::1"', from('2001:DB8:0::1', '')), true);
  assert.equal(holds('request.address == "unknown" && session.address == ""', from('unknown', '')), true);
});

describe('an expression is refused at load', () => {
  for (const [text, fault] of [
    ['', /unexpected token/],
    ['user.name ==', /unexpected token/],
    ['usr.name == "a"', /^unknown variable: usr /],
    ['optional.none().hasValue()', /^unknown variable: optional/],
    ['user.nme == "a"', /^unknown field: user\.nme$/],
    ['user["nme"] == "a"', /^unknown field: user\["nme"\]$/],
    ['cluster.label.env == "a"', /^unknown field: cluster\.label$/],
    ['request.time.hours == 1', /^unknown field: request\.time\.hours$/],
    ['user[request.address] == "a"', /a field is named as it is/],
    ['user.groups.exists(g, user[g] == "a")', /a field is named as it is/],
    ['user.name', /^it gives string, not true or false$/],
    ['1', /^it gives int/],
    ['null', /^it gives null/],
    ['dyn(true)', /^it gives dyn/],
    ['true ? dyn(true) : false', /^it gives dyn/],
    ['cel.bind(a, dyn(true), a)', /^it gives dyn/],
    ['user.name == 1', /no such overload: string == int/],
    ['user.groups == "sre"', /no such overload/],
    ['nobody(user.name)', /no matching overload for 'nobody/],
    ['user.name.matches("^(a+)+$")', /^matches\(\) is not available/],
    ['dyn(user.name).matches("a")', /^matches\(\) is not available/],
    ['user.groups.exists(g, g.matches("a"))', /^matches\(\) is not available/],
    ['true || (false && !user.groups.all(g, [g].exists(h, h.matches("a"))))', /^matches\(\) is not available/],
    ['has(user.nme)', /^has\(\) is for labels/],
    ['has(user.acr)', /^has\(\) is for labels/],
    ['has(cluster.lables.env)', /^has\(\) is for labels/],
    ['inNetwork(request.address, "10.0.0.0/33")', /^inNetwork: .*"10\.0\.0\.0\/33"/],
    ['!inNetwork(request.address, "10.0.0/8")', /^inNetwork: /],
    ['inNetwork(request.address, "localhost")', /^inNetwork: /],
    ['inNetwork(request.address)', /no matching overload/],
    ['request.time.getHours("Europe/Berlni") > 6', /^getHours: there is no time zone "Europe\/Berlni"/],
    ['timestamp("2027-01-15T08:00:00Z").getHours("Europe/Berlin") > 6', /takes a zone on request\.time only/],
    ['request.time > timestamp("tomorrow")', /^timestamp: cannot be read: "tomorrow"/],
    ['duration("1 h") > duration("1h")', /^duration: cannot be read/],
    ['request.time > 6', /no such overload: Time > int/],
    [`${'('.repeat(100)}true${')'.repeat(100)}`, /maxDepth/],
    [`${Array(1500).fill('1').join('+')} == 1`, /maxAstNodes/],
    [`user.name == "${'a'.repeat(10_000)}"`, /^longer than 10000 characters/],
  ] as const) {
    test(text.slice(0, 80), () => {
      const parsed = parseCondition(text);
      assert.ok(typeof parsed === 'string', 'taken');
      assert.match(parsed, fault);
      assert.ok(!parsed.includes('\n'));
    });
  }

  test('or taken: no text does anything else', () => {
    const word = fc.constantFrom('user', '.', 'name', '==', '"a"', '(', ')', 'in', '&&', '!', 'cluster', '[', ']', '1');
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(word, { maxLength: 12 }).map((words) => words.join(' ')),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const parsed = parseCondition(text);
        if (typeof parsed === 'string') assert.ok(parsed.length > 0);
        else assert.equal(parsed.text, text);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('inNetwork', () => {
  for (const [address, block, inside] of [
    ['10.255.255.255', '10.0.0.0/8', true],
    ['11.0.0.0', '10.0.0.0/8', false],
    ['10.0.0.1', '10.0.0.1', true],
    ['10.0.0.2', '10.0.0.1', false],
    ['10.0.0.1', '10.0.0.1/32', true],
    ['10.0.0.1', '0.0.0.0/0', true],
    ['2001:db8::1', '2001:db8::/32', true],
    ['2001:db9::1', '2001:db8::/32', false],
    ['2001:db8::1', '2001:db8::1', true],
    ['2001:DB8:0:0::1', '2001:db8::1', true],
    // an IPv4 peer of a socket for both families
    ['::ffff:10.0.0.1', '10.0.0.0/8', true],
    ['::FFFF:a00:1', '10.0.0.0/8', true],
    ['::ffff:11.0.0.1', '10.0.0.0/8', false],
    ['::ffff:10.0.0.1', '::/0', false],
    ['10.0.0.1', '::/0', false],
    ['10.0.0.1', '::ffff:10.0.0.0/104', true],
    ['::ffff:10.0.0.1', '::ffff:10.0.0.0/104', true],
    ['11.0.0.1', '::ffff:10.0.0.0/104', false],
    ['::1', '0.0.0.0/0', false],
    ['::10.0.0.1', '10.0.0.0/8', false],
  ] as const) {
    test(`${address} is ${inside ? '' : 'not '}in ${block}`, () => assert.equal(inNetwork(address, block), inside));
  }

  test('a block that is none is an error, never a no and never everything', () => {
    for (const block of [
      '',
      '/',
      '10.0.0.0/',
      '10.0.0.0/ 8',
      '10.0.0.0/08',
      '10.0.0.0/1e1',
      '10.0.0.0/0x8',
      '10.0.0.0/-1',
    ]) {
      assert.equal(isNetwork(block), false, block);
      assert.throws(() => inNetwork('10.0.0.1', block), TypeError, block);
    }
    for (const block of [
      '10.0.0.0/8/8',
      '10.0.0.0/33',
      '::/129',
      '::ffff:10.0.0.0/8',
      'fe80::1%eth0',
      '10.0.0',
      'any',
    ]) {
      assert.equal(isNetwork(block), false, block);
    }
    for (const address of ['', 'unknown', '10.0.0', '10.0.0.1/8', '10.0.0.1:443']) {
      assert.throws(() => inNetwork(address, '10.0.0.0/8'), TypeError, address);
    }
  });

  test('agrees with the bits of both addresses', () => {
    const address = fc.integer({ min: 0, max: 2 ** 32 - 1 });
    const text = (bits: number) => [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.');
    const near = fc
      .tuple(address, fc.integer({ min: 0, max: 32 }))
      .map(([base, bit]) => [base, (base ^ (2 ** bit)) >>> 0]);
    fc.assert(
      fc.property(near, fc.integer({ min: 0, max: 32 }), ([a = 0, b = 0], bits) => {
        const same = bits === 0 || a >>> (32 - bits) === b >>> (32 - bits);
        assert.equal(inNetwork(text(a), `${text(b)}/${bits}`), same);
      }),
    );
  });
});

describe('the time of day', () => {
  test('is that of the named zone, whatever zone this process is in', () => {
    const before = process.env.TZ;
    try {
      for (const zone of ['UTC', 'Europe/Berlin', 'America/New_York']) {
        process.env.TZ = zone;
        // 02:30 does not exist in Berlin that night, and does in New York.
        const facts = at('2024-03-31T06:30:00Z');
        assert.equal(holds('request.time.getHours("America/New_York") == 2', facts), true, zone);
        assert.equal(holds('request.time.getHours("Europe/Berlin") == 8', facts), true, zone);
        assert.equal(holds('request.time.getMinutes("Asia/Kolkata") == 0', facts), true, zone);
        assert.equal(holds('request.time.getDayOfYear("UTC") == 195', at('2024-07-14T00:00:00Z')), true, zone);
      }
    } finally {
      if (before === undefined) delete process.env.TZ;
      else process.env.TZ = before;
    }
  });

  test('follows summer time, and the day and year of the zone', () => {
    assert.equal(holds('request.time.getHours("Europe/Berlin") == 1', at('2024-10-26T23:59:59Z')), true);
    assert.equal(holds('request.time.getHours("Europe/Berlin") == 2', at('2024-10-27T00:30:00Z')), true);
    assert.equal(holds('request.time.getHours("Europe/Berlin") == 2', at('2024-10-27T01:30:00Z')), true);
    assert.equal(holds('request.time.getHours("Europe/Berlin") == 0', at('2024-12-31T23:00:00Z')), true);
    const year = 'request.time.getFullYear("Europe/Berlin") == 2025 && request.time.getMonth("Europe/Berlin") == 0';
    assert.equal(holds(`${year} && request.time.getDate("Europe/Berlin") == 1`, at('2024-12-31T23:00:00Z')), true);
    assert.equal(
      holds('request.time.getDayOfMonth() == 30 && request.time.getSeconds() == 0', at('2024-12-31T23:00:00Z')),
      true,
    );
  });

  test('in a zone that a label names wrongly is an error', () => {
    const facts: RuleFacts = { ...FACTS, cluster: { name: 'prod-eu', labels: { zone: 'Mars/Olympus' } } };
    assert.throws(() => holds('request.time.getHours(cluster.labels.zone) == 9', facts), RangeError);
  });
});

describe('a rule', () => {
  const labelled = rule('labelled', 'cluster.labels.tier == "gold"');

  test('that holds yields its limits: session-wide, or for what it names', () => {
    const match = { clusters: ['prod-*'], namespaces: ['payments'] };
    const rules = [rule('wide', '"sre" in user.groups'), rule('named', 'true', match), rule('not', 'false')];
    assert.deepEqual(yieldsOf(rules, FACTS), [
      { rule: 'wide', limits: { max_age: 60 } },
      { rule: 'named', match, limits: { max_age: 60 } },
    ]);
  });

  test('that looks at the cluster is for that cluster alone, within what it names', () => {
    const rules = [
      rule('bare', 'cluster.name == "prod-eu"'),
      rule('within', 'cluster.labels.env == "prod"', { clusters: ['prod-*'], resources: ['pods/exec'] }),
    ];
    assert.deepEqual(yieldsOf(rules, FACTS), [
      { rule: 'bare', match: { clusters: ['prod-eu'] }, limits: { max_age: 60 }, cluster: 'prod-eu' },
      {
        ...{ rule: 'within', match: { clusters: ['prod-eu'], resources: ['pods/exec'] } },
        ...{ limits: { max_age: 60 }, cluster: 'prod-eu' },
      },
    ]);
  });

  test('that looks at the cluster is not evaluated without one, nor for a cluster that it does not name', () => {
    const { cluster: _, ...alone } = FACTS;
    assert.deepEqual(yieldsOf([labelled], alone), []);
    const elsewhere = rule('elsewhere', 'cluster.labels.tier == "gold"', { clusters: ['dev'] });
    assert.deepEqual(yieldsOf([elsewhere], FACTS), []);
    assert.deepEqual(evaluate([labelled], alone), [{ rule: 'labelled', because: 'no_cluster' }]);
    assert.deepEqual(evaluate([elsewhere], FACTS), [{ rule: 'elsewhere', because: 'other_cluster' }]);
  });

  test('that cannot be evaluated is named, and nothing is yielded', () => {
    for (const failing of [
      labelled,
      rule('labelled', 'cluster.labels.tier == "gold" || user.name == "nobody"'),
      rule('labelled', 'inNetwork(request.address, cluster.labels.env)'),
      rule('labelled', 'inNetwork(user.name, "10.0.0.0/8")'),
      rule('labelled', 'int(user.name) == 1'),
      rule('labelled', 'user.groups[9] == "a"'),
      rule('labelled', 'dyn(user.name) + dyn(1) == dyn("a")'),
    ]) {
      assert.deepEqual(yieldsOf([rule('wide', 'true'), failing], FACTS), { failed: 'labelled' }, failing.when.text);
    }
  });

  test('with an absent label is an error where that matters, and none where it does not', () => {
    assert.equal(holds('"tier" in cluster.labels && cluster.labels.tier == "gold"'), false);
    assert.equal(holds('has(cluster.labels.tier) && cluster.labels.tier == "gold"'), false);
    assert.throws(() => holds('cluster.labels.tier == "gold" && "sre" in user.groups'));
    assert.equal(holds('cluster.labels.tier == "gold" && "root" in user.groups'), false);
    for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
      assert.throws(() => holds(`cluster.labels.${name} != ""`), name);
      assert.equal(holds(`"${name}" in cluster.labels`), false);
    }
  });

  test('replaces what it yielded before, and keeps what it yielded for other clusters', () => {
    const limits = { max_age: seconds(60) };
    const before: Yield[] = [
      { rule: 'wide', limits },
      { rule: 'bare', match: { clusters: ['prod-eu'] }, limits, cluster: 'prod-eu' },
      { rule: 'bare', match: { clusters: ['prod-us'] }, limits, cluster: 'prod-us' },
      { rule: 'gone', match: { clusters: ['prod-us'] }, limits, cluster: 'prod-us' },
    ];
    const rules = [rule('wide', 'false'), rule('bare', 'cluster.name != "prod-eu"')];
    assert.deepEqual(yieldsOf(rules, FACTS, before), [before[2]]);
    const { cluster: _, ...alone } = FACTS;
    assert.deepEqual(yieldsOf(rules, alone, before), [before[1], before[2]]);
  });

  test('may come in any order and twice: the limits are the same', () => {
    const rules = [rule('a', 'true'), rule('b', '"sre" in user.groups'), rule('c', 'false')];
    const named = (list: readonly Rule[]) => {
      const yields = yieldsOf(list, FACTS);
      assert.ok(!('failed' in yields));
      return new Set(yields.map((one) => one.rule));
    };
    assert.deepEqual(named(rules), named([...rules].reverse().concat(rules)));
  });
});

test('a zone is worked out once for all rules that ask', () => {
  const { time } = variablesOf(FACTS).request;
  assert.equal(time.wall('Europe/Berlin'), time.wall('Europe/Berlin'));
  assert.notEqual(time.wall('Europe/Berlin'), time.wall('UTC'));
});
