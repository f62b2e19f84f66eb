// docs/operations.md against what it speaks of: alerts, benches, fields of logs, commands.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { buildBundles } from '../../scripts/bundle.ts';
import { BENCHES } from '../bench/benches.ts';
import { blocks, firstNames, namesIn, read, rowsOf } from './documents.ts';
import { logFields, OF_EACH_LINE } from './log_fields.ts';
import { commandsOf } from './sources.ts';

const PAGE = read('docs/operations.md');

function sameNames(documented: readonly string[], real: readonly string[]): void {
  assert.ok(real.length > 0);
  assert.equal(new Set(documented).size, documented.length, 'a name is there twice');
  assert.deepEqual([...documented].sort(), [...new Set(real)].sort());
}

describe('alerts', () => {
  const { groups } = parse(read('docs/prometheus/alerts.yaml')) as { groups: { rules: { alert: string }[] }[] };
  const rows = rowsOf(PAGE, 'alert', 'what is so', 'what it does to people', 'what to do');

  test('each alert says what it means and what to do, and no other is named', () => {
    sameNames(
      firstNames(rows),
      groups.flatMap(({ rules }) => rules.map(({ alert }) => alert)),
    );
    for (const cells of rows)
      assert.ok(cells.length === 4 && cells.every((cell) => cell.length > 3), cells.join(' | '));
  });

  test('events name alerts that there are', () => {
    const events = rowsOf(PAGE, 'event', 'what is seen', 'what to do').flat().join(' ');
    const named = namesIn(events).filter((name) => name.startsWith('Curfew'));
    assert.ok(named.length >= 5);
    for (const name of named) assert.ok(firstNames(rows).includes(name), name);
  });
});

describe('sizes', () => {
  const rows = rowsOf(PAGE, 'size', 'value', 'how it is known', 'by');

  test('each says how it is known and by which figure of the bench, whose result is on the page of benchmarks', () => {
    const figures = BENCHES.flatMap((bench) => bench.figures.map(({ name }) => name));
    const results = read('docs/benchmarks.md').split('## Results')[1] ?? '';
    assert.ok(rows.length >= 10);
    for (const [size = '', value, how = '', by = ''] of rows) {
      assert.match(how, /^(measured|simulated|arithmetic: \S.*)/, size);
      const [figure = ''] = namesIn(by);
      assert.ok(figures.includes(figure), `${size}: ${figure}`);
      assert.ok(results.includes(figure) || resultsOf(results, figure), `${size}: ${figure} has no result`);
      if (how.startsWith('measured')) {
        for (const number of value?.replaceAll(',', '').match(/\d+(\.\d+)?/g) ?? []) {
          assert.ok(number === '1000000' || number === '1000' || results.includes(number), `${size}: ${number}`);
        }
      }
    }
  });

  test('what is reckoned is right, to two digits', () => {
    const of = (size: string) => {
      const [, value = ''] = rows.find(([name]) => name === size) ?? [];
      return Number(/[\d,]+/.exec(value)?.[0].replaceAll(',', ''));
    };
    const near = (value: number, wanted: number) =>
      assert.ok(Math.abs(value / wanted - 1) < 0.02, `${value} ${wanted}`);
    const TTL = 300;
    near(of('people in continuous use, SQLite, `token_ttl: 5m`, one cluster each'), (3243 / 2) * TTL);
    near(of('the same, PostgreSQL'), (1428 / 2) * TTL);
    near(of('people who make a request a second through webhooks, SQLite'), 5749 / 2);
    near(of('people who make a request a second through webhooks, PostgreSQL'), 3260 / 2);
    near(of('open watches in 1 GiB of a gateway'), (1024 * 1024) / 43);
    near(of('open execs in 1 GiB of a gateway'), (1024 * 1024) / 172);
    near(of('small requests through one core of a gateway'), 1_000_000 / 183);
  });
});

/** A figure beside another one of the same name is written by its end alone. */
function resultsOf(results: string, figure: string): boolean {
  const end = figure.slice(figure.lastIndexOf('.'));
  return results.includes(`\`${end}\``) && results.includes(figure.slice(0, figure.lastIndexOf('.')));
}

describe('logs', async () => {
  const fields = await logFields();
  const rows = rowsOf(PAGE, 'log field', 'in', 'what');

  test('each field that a program logs is listed with the program, and no other', () => {
    sameNames(firstNames(rows), [...fields.keys(), ...OF_EACH_LINE]);
    for (const [name = '', where, what = ''] of rows) {
      const files = fields.get(namesIn(name)[0] ?? '') ?? ['serving/'];
      const programs = new Set(files.map((file) => file.split('/')[0]));
      const both = programs.has('serving') || (programs.has('broker') && programs.has('gateway'));
      assert.equal(where, both ? 'both' : [...programs][0], name);
      assert.ok(what.length > 5, name);
    }
  });

  test('fields are found in objects, in what is spread into them and in named values; what cannot be followed is refused', async () => {
    const found = async (text: string) => [...(await logFields(['x.ts'], () => text)).keys()].sort();
    assert.deepEqual(await found(`log.info({ a, b: 1, ...(c && { d }), ...(e ? { f } : { g }) }, 'x');`), [
      'a',
      'b',
      'd',
      'f',
      'g',
    ]);
    assert.deepEqual(
      await found(
        `const facts = { a }; parts.log.error({ ...facts, b }, 'x'); class C { #log; f() { this.#log.warn(facts, 'y'); } }`,
      ),
      ['a', 'b'],
    );
    assert.deepEqual(
      await found(`log.info('only text'); log.error(text); console.log(a, b); other.info({ z }, 'x');`),
      [],
    );
    await assert.rejects(found(`function f(what) { log.warn(what, 'x'); }`), /what was not found/);
    await assert.rejects(found(`log.warn(make(), 'x');`), /was not understood/);
  });
});

describe('commands', async () => {
  const { cli, broker, gateway } = await buildBundles();
  const found = await Promise.all([
    commandsOf(cli, ['kubectl-curfew']),
    commandsOf(broker, ['curfew-broker']),
    commandsOf(gateway, ['curfew-gateway']),
  ]);
  const commands = new Map(found.flatMap((one) => [...one]));
  const lines = blocks(PAGE, 'sh').flatMap((block) => block.trim().split('\n'));

  test('each command line of ours is one that there is, with flags that it has', () => {
    const ours = lines.filter((line) => /^(curfew-|kubectl curfew )/.test(line));
    assert.ok(ours.length >= 8, ours.join('\n'));
    for (const line of ours) assert.equal(unknownIn(line, commands), undefined, line);
  });

  test('a command or a flag that is misspelled is found out', () => {
    assert.equal(unknownIn('curfew-broker store acept --config x', commands), 'curfew-broker store acept');
    assert.equal(unknownIn('curfew-broker store accept --conifg x', commands), '--conifg');
    assert.equal(unknownIn('kubectl curfew audit kubeconfig --fixx FILE', commands), '--fixx');
    assert.equal(unknownIn('curfew-broker keys revoke --all --config x', commands), undefined);
  });
});

/** What of a command line the program does not know. */
function unknownIn(line: string, commands: ReadonlyMap<string, readonly string[]>): string | undefined {
  const words = line.replace(/^kubectl curfew\b/, 'kubectl-curfew').split(/\s+/);
  const lengths = [4, 3, 2, 1].filter((count) => commands.has(words.slice(0, count).join(' ')));
  const [count] = lengths;
  if (count === undefined)
    return words
      .filter((word) => !word.startsWith('-'))
      .slice(0, 3)
      .join(' ');
  const flags = commands.get(words.slice(0, count).join(' ')) ?? [];
  return words.find((word) => word.startsWith('--') && !flags.includes(word.split('=')[0] ?? ''));
}
