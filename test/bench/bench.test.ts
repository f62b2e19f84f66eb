// The benchmark program: it runs, and prints what it promises. No test here says how fast anything is.

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import { run } from '../../scripts/run.ts';
import { BENCHES } from './benches.ts';
import { isMet, sayAim, table } from './figure.ts';
import { median, quantile } from './statistics.ts';

const program = path.join(import.meta.dirname, 'main.ts');
const bench = (...args: readonly string[]) => run(process.execPath, [program, ...args]);
const figures = BENCHES.flatMap((one) => one.figures);

interface Line {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly aim: string | null;
  readonly command: string;
}

function linesOf(stdout: string): Line[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

describe('npm run bench', () => {
  test('--help lists every figure that there is, each once', async () => {
    const { code, stdout } = await bench('--help');
    assert.equal(code, 0);
    assert.equal(new Set(figures.map(({ name }) => name)).size, figures.length);
    const listed = [...stdout.matchAll(/^ {2}([a-z][a-z0-9_.]+) /gm)].map(([, name]) => name);
    assert.deepEqual(
      listed,
      figures.map(({ name }) => name),
    );
  });

  test('the figures that the project promises are there, with their aims', () => {
    const aims = new Map(figures.map(({ name, aim }) => [name, aim ? sayAim(aim) : null]));
    const promised = {
      'get_token.warm_vs_node': '<= 1.15',
      'kubectl.native_vs_static': '<= 1.05',
      'kubectl.node_vs_static': null,
      'native.rss_mib': '<= 12',
      'native.binary_mib': '<= 3',
      'parallel50.warm_vs_static': null,
      'parallel50.cold_tail_ms': '<= 1000',
      'refusal.vs_warm': '<= 1.1',
      'ssh_certificate.us': null,
      'connect.ssh.vs_direct_ms': '<= 75',
      'renew.sqlite.c1.per_second': null,
      'renew.sqlite.c8.per_second': '>= 1500',
      'renew.sqlite.c8.p50_ms': null,
      'renew.sqlite.c8.p99_ms': null,
      'renew.sqlite.c32.per_second': null,
      'renew.sqlite.100k_vs_1k': '>= 0.8',
      'renew.sqlite.1m_vs_1k': '>= 0.8',
      'renew.postgres.1m_vs_1k': '>= 0.8',
      'renew.sqlite.open.per_second': '>= 2500',
      'renew.sqlite.open.p99_ms': '<= 25',
      'renew.sqlite.open.p999_ms': null,
      'renew.sqlite.open.processor_us': '<= 400',
      'renew.postgres.open.per_second': '>= 1500',
      'renew.postgres.open.p99_ms': '<= 25',
      'renew.postgres.open.p999_ms': null,
      'renew.postgres.open.processor_us': '<= 600',
      'broker.rss_mib.100k': '<= 300',
      'broker.rss_mib.1m': null,
      'webhook.postgres.per_second': '>= 5000',
      'morning.errors': '<= 0',
      'morning.p99_ms': null,
      'end_to_known.p99_ms': '<= 100',
      'end_to_known.without_notify.p99_ms': '<= 5000',
      'renew.cli_vs_warm': null,
      'resolve_and_decide.1.us': null,
      'resolve_and_decide.100.us': null,
      'resolve_and_decide.10000.us': null,
      'webhook.c8.per_second': '>= 3000',
      'webhook.c8.p99_ms': '<= 10',
      'kubectl.webhook_vs_none': '<= 1.05',
      'sa.end_to_dead.p99_ms': '<= 11000',
      'sa.mint.p50_ms': null,
      'logout_token.per_second': '>= 500',
      'set.per_second': '>= 500',
      'set_to_denial.p99_ms': '<= 300',
      'end_to_denial.p50_ms': null,
      'end_to_denial.p99_ms': '<= 200',
      'gateway.kubectl_get.vs_direct': '<= 1.05',
      'gateway.small.cpu_us': '<= 250',
      'gateway.exec.vs_direct': null,
      'gateway.exec.mib_per_s': '>= 110',
      'gateway.list50mb.vs_direct': '>= 0.8',
      'gateway.end_to_cut.p50_ms': null,
      'gateway.end_to_cut.p99_ms': '<= 50',
      'gateway.watch.kib': '<= 64',
      'gateway.exec.kib': '<= 128',
      'gateway.small_beside_bulk.p99_ms': '<= 25',
      'connect.mib_per_s': '>= 120',
      'connect.kib_each': '<= 100',
      'connect.end_to_closed.p99_ms': '<= 50',
    };
    for (const [name, aim] of Object.entries(promised)) assert.equal(aims.get(name), aim, name);
  });

  test('an unknown name is refused with the names there are', async () => {
    const { code, stdout, stderr } = await bench('renew.sqlite.c8', 'renew.sqlite.c9');
    assert.equal(code, 64);
    assert.equal(stdout, '');
    assert.match(stderr, /there is no renew\.sqlite\.c9$/m);
    for (const { name } of figures) assert.ok(stderr.includes(name), name);
  });

  test('an unknown option is refused', async () => {
    const { code, stdout, stderr } = await bench('--jsno');
    assert.equal(code, 64);
    assert.equal(stdout, '');
    assert.match(stderr, /--jsno/);
  });

  test('--json prints one object a line for each figure asked for, and nothing else', async () => {
    const { code, stdout, stderr } = await bench('--json', '--quick', 'get_token.warm_vs_node');
    assert.equal(code, 0, stderr);
    const [line, ...more] = linesOf(stdout);
    assert.deepEqual(more, []);
    assert.deepEqual(line && { ...line, value: typeof line.value }, {
      name: 'get_token.warm_vs_node',
      value: 'number',
      unit: 'ratio',
      aim: '<= 1.15',
      command: 'npm run bench -- get_token.warm_vs_node',
    });
    assert.ok(line && line.value > 0);
  });

  test('renewals are measured against a broker of its own, and the beginning of a name chooses all that follow', async () => {
    const { code, stdout, stderr } = await bench('--json', '--quick', 'renew.sqlite.c1');
    assert.equal(code, 0, stderr);
    const lines = linesOf(stdout);
    const names = ['renew.sqlite.c1.per_second', 'renew.sqlite.c1.p50_ms', 'renew.sqlite.c1.p99_ms'];
    assert.deepEqual(
      lines.map(({ name }) => name),
      names,
    );
    assert.ok(lines.every(({ value, aim }) => value > 0 && aim === null));
  });

  test('the gateway is measured between a broker and what stands for the API server', async () => {
    const { code, stdout, stderr } = await bench('--json', '--quick', 'gateway.exec.mib_per_s', 'gateway.small');
    assert.equal(code, 0, stderr);
    const lines = linesOf(stdout);
    assert.deepEqual(
      lines.map(({ name }) => name),
      ['gateway.small.cpu_us', 'gateway.exec.mib_per_s'],
    );
    assert.ok(lines.every(({ value }) => value > 0));
  });
});

describe('figures', () => {
  test('an aim is met at its own value', () => {
    assert.equal(isMet({ at_least: 1500 }, 1500), true);
    assert.equal(isMet({ at_least: 1500 }, 1499.9), false);
    assert.equal(isMet({ at_most: 1.15 }, 1.15), true);
    assert.equal(isMet({ at_most: 1.15 }, 1.151), false);
  });

  test('the table says of each aim whether it is met', () => {
    const aim = { at_most: 2 };
    const figure = (name: string) => ({ name, unit: 'ratio', aim, says: '' });
    const lines = table([
      { figure: figure('slow'), value: 3 },
      { figure: figure('fast'), value: 1 },
    ]).split('\n');
    assert.match(lines[1] ?? '', /^slow +3 +ratio +<= 2 +NOT MET$/);
    assert.match(lines[2] ?? '', /^fast +1 +ratio +<= 2 +met$/);
  });

  test('quantiles do not depend on the order, and nothing measured has none', () => {
    assert.equal(median([9, 1, 5]), 5);
    assert.equal(quantile([3, 1, 2, 4], 0.99), 4);
    assert.throws(() => median([]), RangeError);
  });
});
