// The documents against the code, both ways: what one names the other must have.

import assert from 'node:assert/strict';
import { existsSync, globSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { printAuthnConfig } from '../../broker/layers/authn_config.ts';
import { LIVE_CHECKS } from '../../broker/live/seen.ts';
import { FLOWS, OWN_SETTINGS, SECRET_STORAGES } from '../../cli/warm/settings.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { helpOf } from '../../scripts/release/help.ts';
import { manualPage } from '../../scripts/release/man.ts';
import { run } from '../../scripts/run.ts';
import { REASONS } from '../../shared/decide.ts';
import { CODES, EXIT } from '../../shared/errors.ts';
import { END_REASONS } from '../../shared/session.ts';
import { BENCHES } from '../bench/benches.ts';
import { sayAim } from '../bench/figure.ts';
import { makeConfigFiles } from '../broker/config_files.ts';
import { go_version, programs } from '../cluster/versions.ts';
import { FLOORS } from '../shared/floors.ts';
import { blocks, firstNames, namesIn, ROOT, read, rowsOf, sectionsByName } from './documents.ts';
import {
  environmentVariables,
  filesOf,
  flagsOf,
  gatewaySettingPaths,
  settingPaths,
  settingsNotAvailable,
} from './sources.ts';
import { differences, testFiles, threatTests } from './threats.ts';

const README = read('README.md');
const CONTRIBUTING = read('CONTRIBUTING.md');
const DOCUMENTS = [
  'README.md',
  'ARCHITECTURE.md',
  'SECURITY.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  ...globSync(['docs/*.md', 'docs/decisions/*.md'], { cwd: ROOT }),
];

/** Equal as sets, each named once, and not empty: a comparison of nothing with nothing would always hold. */
function sameNames(documented: readonly string[], real: readonly string[], what: string): void {
  assert.ok(real.length > 0, `no ${what} were found in the code`);
  assert.equal(new Set(documented).size, documented.length, `${what} are documented twice`);
  assert.deepEqual([...documented].sort(), [...new Set(real)].sort(), what);
}

describe('commands', async () => {
  const { cli, broker, gateway } = await buildBundles();
  const programs = await Promise.all([
    helpOf(cli, ['kubectl-curfew']),
    helpOf(broker, ['curfew-broker']),
    helpOf(gateway, ['curfew-gateway']),
  ]);
  const commands = new Map(programs.flatMap((one) => [...flagsOf(one)]));

  test('each command and each of its flags is documented, and no other', () => {
    const sections = sectionsByName(read('docs/commands.md'), '###');
    sameNames([...sections.keys()], [...commands.keys()], 'commands');
    for (const [command, flags] of commands) {
      const section = sections.get(command) ?? '';
      if (flags.length === 0) {
        assert.ok(!/^\| flag \|/m.test(section), `${command} has no flags`);
        continue;
      }
      const rows = rowsOf(section, 'flag', 'meaning');
      const documented = firstNames(rows).map((name) => /--[\w-]+/.exec(name)?.[0] ?? name);
      sameNames(documented, flags, `flags of ${command}`);
    }
  });

  for (const [i, section] of ([1, 8, 8] as const).entries())
    test(`the manual page of program ${i + 1} has each of its commands, with its flags, and each exit status`, async () => {
      const program = programs[i];
      assert.ok(program);
      const [name = ''] = program.words;
      const page = await manualPage(program, section, 1_795_000_000);
      assert.ok(page.startsWith(`.TH "${name.toUpperCase()}" "${section}" "2026-11-18" "${name}"\n`), page);
      const sections = new Map(
        page.split(/^\.SS /m).map((one) => [one.split('\n', 1)[0]?.replaceAll('\\-', '-') ?? '', one] as const),
      );
      const own = [...commands].filter(([command]) => command.startsWith(`${name} `));
      assert.ok(own.length >= 2);
      assert.equal(sections.size, own.length + 1);
      for (const [command, flags] of own) {
        const text = sections.get(command.slice(name.length + 1))?.replaceAll('\\-', '-');
        assert.ok(text !== undefined, command);
        for (const flag of flags) assert.match(text, new RegExp(`^\\.B .*${flag}\\b`, 'm'), command);
      }
      for (const exit of Object.values(EXIT)) assert.ok(page.includes(`.B ${exit}\n`), `exit ${exit}`);
      // Nothing of it is a request or an escape that was not meant.
      const { stderr } = await run('groff', ['-man', '-Tutf8', '-ww', '-z'], { input: page });
      assert.equal(stderr, '');
    });

  test('the list of commands names each of them', () => {
    const documented = firstNames(rowsOf(read('docs/commands.md'), 'command', 'does'));
    sameNames(
      documented.map((name) => name.replace(/^kubectl curfew /, 'kubectl-curfew ')),
      [...commands.keys()],
      'commands',
    );
  });
});

test('the way through the code for a review leads to what is there', () => {
  const rows = rowsOf(read('docs/for-security-review.md'), '', 'what holds', 'where it is kept', 'attack it with');
  assert.equal(rows.length, 6);
  for (const [invariant = '', , kept = '', attacks = ''] of rows) {
    assert.match(read('ARCHITECTURE.md'), new RegExp(`^\\| ${invariant} \\|`, 'm'));
    const places = namesIn(kept).filter((name) => /^[a-z]+\/./.test(name));
    const tests = namesIn(attacks).map((name) => `test/${name}.test.ts`);
    assert.ok(places.length > 0 && tests.length > 0, invariant);
    const all = [
      ...places.map((name) => (name.startsWith('test/') && !/\.\w+$/.test(name) ? `${name}.test.ts` : name)),
      ...tests,
    ];
    for (const place of all) assert.ok(existsSync(path.join(ROOT, place)), `${invariant}: ${place}`);
  }
});

test('each thing that check --live looks at is documented, and no other', () => {
  const documented = firstNames(rowsOf(read('docs/commands.md'), 'live check', 'what is looked at'));
  sameNames(documented, LIVE_CHECKS, 'live checks');
});

test('each setting is documented, and no other', () => {
  const documented = firstNames(rowsOf(read('docs/settings.md'), 'setting', 'type, default', 'meaning'));
  sameNames(documented, settingPaths(), 'settings');
});

test('each setting of the gateway is documented, and no other', () => {
  const documented = firstNames(rowsOf(read('docs/gateway.md'), 'gateway setting', 'type, default', 'meaning'));
  sameNames(documented, gatewaySettingPaths(), 'settings of the gateway');
});

test('each setting that is not available yet is documented as that', () => {
  const [, text = ''] = read('docs/settings.md').split('## Not available in this version');
  sameNames(namesIn(text), settingsNotAvailable(), 'settings that are not available');
});

test('each code is documented with its exit status, HTTP status and OAuth error', () => {
  const rows = rowsOf(read('docs/codes.md'), 'code', 'exit', 'HTTP', '`error`', 'when');
  sameNames(firstNames(rows), Object.keys(CODES), 'codes');
  const documented = Object.fromEntries(
    rows.map(([code = '', exit, status, error = '', when]) => {
      assert.ok(when, `${code} says nothing of when`);
      return [namesIn(code)[0], { exit: Number(exit), status: Number(status), error: namesIn(error)[0] }];
    }),
  );
  const real = Object.entries(CODES).map(([code, { exit, status, error }]) => [code, { exit, status, error }]);
  assert.deepEqual(documented, Object.fromEntries(real));
});

test('each reason of the engine and each end reason is documented', () => {
  const codes = read('docs/codes.md');
  sameNames(firstNames(rowsOf(codes, 'reason', 'denies', 'ends the session')), REASONS, 'reasons');
  sameNames(firstNames(rowsOf(codes, '`end_reason`', 'when', 'new login')), END_REASONS, 'end reasons');
});

test('each audit event is documented, with its own fields', () => {
  const rows = rowsOf(read('docs/codes.md'), 'event', 'when', 'also');
  const source = ['events', 'store_events', 'target_events']
    .map((file) => read(`broker/audit_log/${file}.ts`))
    .join('\n');
  const events = source.split(/^export interface /m).slice(1);
  const fieldsOf = (text: string) => [...text.matchAll(/^ {2}readonly (\w+)/gm)].map(([, field = '']) => field);
  const bases = new Map(
    source.split(/^interface /m).flatMap((text): [string, string[]][] => {
      const [, name, body] = /^(\w+) extends Common \{([^}]*)\}/.exec(text) ?? [];
      return name === undefined || body === undefined ? [] : [[name, fieldsOf(body)]];
    }),
  );
  const real = new Map(
    events.flatMap((text): [string, string[]][] => {
      const [, base = '', body = ''] = /^\w+ extends (\w+) \{([^}]*)\}/.exec(text) ?? [];
      const [, event] = /readonly event: '(\w+)'/.exec(body) ?? [];
      const fields = new Set([...(bases.get(base) ?? []), ...fieldsOf(body)]);
      return event === undefined ? [] : [[event, [...fields].filter((field) => field !== 'event')]];
    }),
  );
  sameNames(firstNames(rows), [...real.keys()], 'audit events');
  for (const [event = '', , also = ''] of rows) {
    const fields = real.get(namesIn(event)[0] ?? '') ?? [];
    const outside = also.replaceAll(/\([^()]*\)/g, '');
    sameNames(namesIn(outside.split(';')[0] ?? ''), fields, `fields of ${event}`);
  }
});

test('each exit status is documented', () => {
  const rows = rowsOf(read('docs/codes.md'), 'exit', 'when');
  sameNames(
    rows.map(([exit = '']) => exit),
    Object.values(EXIT).map(String),
    'exit statuses',
  );
});

test('each environment variable that is read is documented, and no other', () => {
  const rows = rowsOf(read('docs/commands.md'), 'variable', 'read by', 'meaning');
  sameNames(firstNames(rows), environmentVariables(), 'environment variables');
});

test('each setting of the plugin that a person may add is documented with its values, and no other', () => {
  const rows = rowsOf(read('docs/commands.md'), 'setting', 'meaning');
  sameNames(firstNames(rows), [...OWN_SETTINGS], 'settings of config.json');
  const meanings = rows.map(([, meaning = '']) => meaning).join(' ');
  for (const value of [...FLOWS, ...SECRET_STORAGES]) assert.ok(meanings.includes(`\`${value}\``), value);
});

test('each figure of the bench is documented, with its aim', () => {
  const rows = rowsOf(read('docs/benchmarks.md'), 'figure', 'what', 'aim');
  const figures = BENCHES.flatMap((bench) => bench.figures);
  sameNames(
    firstNames(rows),
    figures.map(({ name }) => name),
    'figures',
  );
  const aims = new Set(
    figures.flatMap(({ name, aim }) => (aim ? [`${name.replace(/\.per_second$/, '')} ${sayAim(aim)}`] : [])),
  );
  const documented = rows.flatMap(([names = '', , aim = '']) =>
    aim === '' ? [] : [`${(namesIn(names)[0] ?? '').replace(/\.per_second$/, '')} ${aim}`],
  );
  sameNames(documented, [...aims], 'aims');
});

test('the options of demo and bench are documented, and no other', async () => {
  const lines = CONTRIBUTING.split('\n').filter((line) => line.includes('`npm run demo'));
  const [, bench = ''] = /^`npm run bench` measures([\s\S]*?)\n\n/m.exec(read('docs/benchmarks.md')) ?? [];
  for (const [name, text] of Object.entries({ demo: lines.join('\n'), bench })) {
    const { code, stdout, stderr } = await run(process.execPath, [path.join(ROOT, 'test', name, 'main.ts'), '--help']);
    assert.equal(code, 0, stderr);
    const real = [...stdout.matchAll(/(?<=[\s[])--\w+/g)].map(([flag]) => flag);
    const documented = [...text.matchAll(/(?<=[\s`])--\w+/g)].map(([flag]) => flag);
    sameNames([...new Set(documented)], real, `options of npm run ${name}`);
  }
});

test('each npm script is documented, and no other', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const typed = [...`${README}\n${CONTRIBUTING}`.matchAll(/npm (?:run ([\w:]+)|(test))\b/g)].map(
    ([, script, test = '']) => script ?? test,
  );
  sameNames([...new Set(typed)], Object.keys(scripts), 'npm scripts');
});

test('the two commands of a new machine stand in the README, and .ci/run runs the second', () => {
  const lines = blocks(README, 'sh').flatMap((block) => block.split('\n'));
  assert.ok(lines.includes('npm ci && npm run demo'));
  assert.ok(lines.includes('npm ci && npm test'));
  assert.ok(read('.ci/run').split('\n').includes('npm ci && npm test'));
});

test('the README asks for the Debian packages that tests need, and no other', () => {
  const lines = blocks(README, 'sh').flatMap((block) => block.split('\n'));
  const [line = ''] = lines.filter((candidate) => candidate.startsWith('apt-get install '));
  const quoted = line
    .split(' ')
    .slice(2)
    .filter((word) => !word.startsWith('-'));
  const real = read('test/debian-packages.txt')
    .split('\n')
    .map((text) => text.replace(/#.*/, '').trim());
  sameNames(
    quoted,
    real.filter((name) => name !== ''),
    'Debian packages',
  );
});

test('the README names the versions that are meant', () => {
  const root = JSON.parse(read('package.json')) as { engines: { node: string; npm: string } };
  const cli = JSON.parse(read('cli/package.json')) as { engines: { node: string } };
  const number = (range: string) => range.replace('>=', '');
  assert.ok(
    README.includes(`Node.js ${number(root.engines.node)} or later with npm ${number(root.engines.npm)} or later`),
  );
  assert.ok(README.includes(`Node.js ${number(cli.engines.node)} or later`));
  assert.ok(README.includes(`Go ${go_version} or later`));
  assert.ok(README.includes(`tested with ${programs.kubeApiserver.module.version}`));
});

test("the README's configuration loads, and gives each of its clusters an authn-config", async () => {
  const [text = '', ...more] = blocks(README, 'yaml');
  assert.deepEqual(more, [], 'one configuration in the README');
  const { files, loadText } = await makeConfigFiles();
  const named = [...text.matchAll(/\bca_file: ([\w.-]+)/g)].map(([, file = '']) => file);
  named.push(/issuer_ca_file: (\S+)/.exec(text)?.[1] ?? '');
  assert.ok(named.length >= 3);
  const config = await loadText(text, Object.fromEntries(named.map((file) => [file, files['ca.crt'] ?? ''])));
  assert.ok(config.clusters.length > 0);
  for (const { name } of config.clusters) assert.match(printAuthnConfig(config, name), /AuthenticationConfiguration/);
});

describe('threats', () => {
  const rows = rowsOf(read('SECURITY.md'), 'ID', 'what must hold', 'tests');

  test('each threat that is tested stands in SECURITY.md with every file that tests it, and what stands there is tested where it says', () => {
    assert.ok(rows.length > 80);
    assert.deepEqual(differences(rows, threatTests()), []);
  });

  test('a threat whose only test is gone, commented out or renamed is seen, and so is one that is not listed', () => {
    const files = testFiles();
    const place = 'threats/stopped_broker';
    const text = files.get(place) ?? '';
    const seen = (changed: string | undefined): string[] => {
      const others = [...files].filter(([name]) => name !== place);
      const changes = changed === undefined ? [] : [[place, changed] as const];
      return differences(rows, threatTests(new Map([...others, ...changes]))).sort();
    };
    assert.deepEqual(seen(text), []);
    const gone = ['I1', 'R1'].map((id) => `no test ${id} in test/threats/stopped_broker`);
    assert.deepEqual(seen(undefined), gone);
    assert.deepEqual(seen(text.replaceAll(/^/gm, '// ')), gone);
    assert.deepEqual(seen(`/*\n${text.replaceAll('*/', '')}\n*/\n`), gone);
    assert.deepEqual(seen(text.replaceAll(/(['"`])(?:[A-Z]\d+ )+/g, '$1')), gone);
    assert.deepEqual(seen(`${text}\ntest('S2 polling', () => {});`), [
      'S2 is tested in threats/stopped_broker, which is not listed',
    ]);
    assert.deepEqual(seen(`${text}\ntest('S99 nothing', () => {});`), ['S99 is tested, and not listed']);
    const tests = threatTests(files);
    tests.delete('S14');
    assert.ok(differences(rows, tests).includes('S14 has no test'));
    assert.deepEqual(differences([...rows, ['S98', 'x', '`threats/sessions`']], threatTests(files)), [
      'S98 has no test',
      'no test S98 in test/threats/sessions',
    ]);
    assert.ok(
      differences(
        rows.filter(([id]) => id !== 'T4'),
        threatTests(files),
      ).includes('T4 is tested, and not listed'),
    );
  });
});

test('ARCHITECTURE.md has a row for each room, in the order of the floors, and names no file that is not there', () => {
  const text = read('ARCHITECTURE.md');
  for (const [workspace, rooms] of Object.entries(FLOORS)) {
    const [, table = ''] = text.split(`| \`${workspace}/\` | |\n|---|---|\n`);
    const [rows = ''] = table.split('\n\n');
    const named = rows.split('\n').map((row) => /^\| `([^`]+)` \|/.exec(row)?.[1]);
    assert.deepEqual(named, rooms, workspace);
  }
  const shared = namesIn(text.split('| `shared/` | |')[1]?.split('\n\n')[0] ?? '').filter((name) =>
    name.endsWith('.ts'),
  );
  assert.deepEqual(
    shared.sort(),
    filesOf('shared')
      .map((file) => path.basename(file))
      .sort(),
  );
  const real = new Set(
    filesOf('cli', 'broker', 'gateway', 'serving', 'shared', 'test').map((file) => path.basename(file)),
  );
  const gone = namesIn(text).filter((name) => name.endsWith('.ts') && !real.has(path.basename(name)));
  assert.deepEqual(gone, []);
});

/** As GitHub makes an anchor of a heading. */
function slugOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}

test('every link between the documents leads somewhere', () => {
  const links = DOCUMENTS.flatMap((file) =>
    [...read(file).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => ({ file, link })),
  );
  assert.ok(links.length > 10);
  for (const { file, link } of links) {
    const [target = '', anchor] = link.split('#');
    const resolved = target === '' ? file : path.join(path.dirname(file), target);
    assert.ok(existsSync(path.join(ROOT, resolved)), `${file}: ${link}`);
    const headings = [...read(resolved).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => slugOf(heading));
    if (anchor !== undefined) assert.ok(headings.includes(anchor), `${file}: ${link}`);
  }
});

test('whatever the test cluster sets so that its API servers ask the broker, the documents tell an administrator to set', () => {
  const set = ['test/cluster/api_server.ts', 'test/support/world.ts'].flatMap((file) =>
    [...read(file).matchAll(/--(?:authentication|authorization)-[\w-]+/g)].map(([flag]) => flag),
  );
  assert.ok(new Set(set).size >= 5, set.join(' '));
  const documented = `${README}\n${read('docs/webhooks.md')}`;
  for (const flag of set) assert.ok(new RegExp(`${flag}(?![\\w-])`).test(documented), flag);
  // With the values that are documented, where they matter for whether it works at all.
  assert.match(read('test/support/world.ts'), /--authentication-token-webhook-version=v1'/);
  assert.match(documented, /--authentication-token-webhook-version=v1`/);
});
