// Every command line of the documents: those of ours are given to the programs themselves, which must understand them; others are in a
// list that somebody has looked at.

import assert from 'node:assert/strict';
import { globSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { type Bundles, buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { EXIT } from '../../shared/errors.ts';
import { blocks, ROOT, read } from './documents.ts';
import { commandsIn } from './shell_lines.ts';

const DOCUMENTS = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'ARCHITECTURE.md',
  ...globSync('docs/**/*.md', { cwd: ROOT }),
];

/** Programs of others, each with the commands of it that the documents show. */
const OTHERS: Readonly<Record<string, readonly string[]>> = {
  'apt-get': ['install'],
  base64: ['-d'],
  createdb: ['--maintenance-db='],
  grep: [`'"break-glass"'`],
  helm: ['install', 'template'],
  install: ['-m'],
  kubectl: [
    ...[
      'apply',
      'config',
      'create clusterrolebinding',
      'create namespace',
      'create secret',
      'create token',
      'delete clusterrolebinding',
    ],
    ...['delete secret', 'get', 'kustomize', 'label'],
  ],
  chmod: ['600'],
  ln: ['-s'],
  node: ['-e'],
  npm: ['ci', 'install', 'pack', 'run', 'test'],
  openssl: ['rand', 'req', 'x509'],
  pg_dump: ['--format=custom'],
  pg_restore: ['--exit-on-error'],
  rm: ['-f'],
  sha256sum: ['--check'],
  source: [],
  'ssh-keygen': ['-Y verify'],
  systemctl: ['start', 'stop'],
  tar: ['-xzf'],
  tr: ["'+/'", '-d'],
  umask: ['077'],
};

let bundles: Bundles;
let home: string;
before(async () => {
  bundles = await buildBundles();
  home = mkdtempSync(path.join(tmpdir(), 'curfew-lines-'));
});
after(() => rmSync(home, { recursive: true, force: true }));

const ours = (words: readonly string[]): { readonly program: string; readonly rest: readonly string[] } | undefined => {
  const [first = '', second] = words;
  if (first === 'kubectl-curfew') return { program: bundles.cli, rest: words.slice(1) };
  if (first === 'kubectl' && second === 'curfew') return { program: bundles.cli, rest: words.slice(2) };
  if (first === 'curfew-broker') return { program: bundles.broker, rest: words.slice(1) };
  if (first === 'curfew-gateway') return { program: bundles.gateway, rest: words.slice(1) };
  return undefined;
};

/**
 * Gives the words to the program, where none of the files that they name is there, and nobody is logged in: what it understands it
 * refuses for that, or does; only where it does not understand them it leads to its own help.
 */
async function isUnderstood(words: readonly string[]): Promise<boolean> {
  const found = ours(words);
  assert.ok(found);
  const folder = mkdtempSync(path.join(home, 'home-'));
  mkdirSync(path.join(folder, 'run'), { mode: 0o700 });
  const rest = found.rest.map((word) => word.replace(/(^|=)\/(etc|var|backup)\//, '$1nowhere/'));
  const env = { HOME: folder, XDG_RUNTIME_DIR: path.join(folder, 'run'), PATH: '/nonexistent' };
  const { code, stderr } = await run(process.execPath, [found.program, ...rest], {
    env,
    cwd: folder,
    timeout: 120_000,
  });
  assert.notEqual(code, null, `${words.join(' ')}: ${stderr}`);
  return !(code === EXIT.usage && /^curfew: hint: see:? .* --help$/m.test(stderr));
}

function isListed(words: readonly string[]): boolean {
  const [program = '', ...rest] = words;
  const known = OTHERS[program];
  if (known === undefined) return false;
  // Options that come before a command, with their values.
  const line = rest.join(' ').replace(/^(-n \S+|--kubeconfig=\S+) /, '');
  return (
    known.length === 0 ||
    known.some((start) => line === start || line.startsWith(start.endsWith('=') ? start : `${start} `))
  );
}

const lines = DOCUMENTS.flatMap((file) =>
  blocks(read(file), 'sh').flatMap((block) => commandsIn(block).map((words) => ({ file, words }))),
);

test('each command line of ours is understood by the program', async () => {
  const typed = new Map(
    lines.filter(({ words }) => ours(words)).map(({ file, words }) => [words.join(' '), { file, words }]),
  );
  assert.ok(typed.size >= 25, [...typed.keys()].join('\n'));
  const wrong: string[] = [];
  const open = [...typed.values()];
  const worker = async () => {
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (!(await isUnderstood(next.words))) wrong.push(`${next.file}: ${next.words.join(' ')}`);
    }
  };
  await Promise.all([worker(), worker(), worker()]);
  assert.deepEqual(wrong, []);
});

test('each other command line is in the list, and what is in the list is in a document', () => {
  const others = lines.filter(({ words }) => !ours(words));
  const strange = others
    .filter(({ words }) => !isListed(words))
    .map(({ file, words }) => `${file}: ${words.join(' ')}`);
  assert.deepEqual(strange, []);
  const programs = new Set(others.map(({ words }) => words[0]));
  assert.deepEqual([...programs].sort(), Object.keys(OTHERS).sort());
});

test('a command, a flag or an argument that the program does not know is found out', async () => {
  for (const line of [
    'curfew-broker store acept --config x',
    'curfew-broker store accept --conifg x',
    'curfew-broker check',
    'curfew-gateway serve --config',
    'kubectl curfew audit kubeconfig --fixx',
    'kubectl-curfew setpu --broker https://curfew.example.com',
    'kubectl curfew login --flow teapot',
  ]) {
    assert.equal(await isUnderstood(line.split(' ')), false, line);
  }
  assert.equal(isListed(['kubectl', 'aply', '-f', '-']), false);
  assert.equal(isListed(['curl', '-k']), false);
});

test('lines of shell are taken apart into commands', () => {
  const text = [
    '(umask 077; openssl rand -base64 32 > key)     # a comment',
    `a --x='1 2' "$B" | b -n 'p | q' && c; d < e`,
    'source <(f g bash)',
    '# nothing',
    'h \\',
    '  --i',
  ].join('\n');
  assert.deepEqual(commandsIn(text), [
    ['umask', '077'],
    ['openssl', 'rand', '-base64', '32'],
    ['a', `--x='1 2'`, '"$B"'],
    ['b', '-n', `'p | q'`],
    ['c'],
    ['d'],
    ['source'],
    ['f', 'g', 'bash'],
    ['h', '--i'],
  ]);
});
