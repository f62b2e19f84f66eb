// P15: a kubeconfig is the person's. Whatever is not an entry of ours is to the byte as before, or nothing is written and the
// reason is said.

import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parse, stringify } from 'yaml';
import { addCluster, type PluginCall } from '../../cli/kubeconfig/entries.ts';
import { editKubeconfig, kubeconfigFiles, readKubeconfig } from '../../cli/kubeconfig/kubeconfig.ts';
import { KubeconfigText } from '../../cli/kubeconfig/text.ts';
import { TextFault } from '../../cli/kubeconfig/yaml.ts';
import { run } from '../../scripts/run.ts';
import type { MetadataCluster } from '../../shared/metadata.ts';
import { type Seconds, seconds } from '../../shared/time.ts';
import { ensureBinaries } from '../cluster/build.ts';
import { temporaryFolder, testHost } from './host.ts';
import { ODD_WORDS } from './odd_words.ts';

const CALL: PluginCall = {
  command: '/home/alice/.config/curfew/bin/kubectl-curfew',
  api: 'v1',
  broker: 'https://curfew.example.com',
  max_age: undefined,
  ca_file: undefined,
};

function clusterOf(name: string, more: Partial<MetadataCluster> = {}): MetadataCluster {
  const server = `https://${name}.example.com:6443`;
  return { name, server, certificate_authority_data: 'Q0E=', audience: name, ...more } as MetadataCluster;
}

const DEV = clusterOf('dev');
const never = () => undefined;

/** As `setup` does it. */
function setUp(
  text: string,
  clusters: readonly MetadataCluster[] = [DEV],
  {
    max_age,
    others = [],
    written = never,
  }: { max_age?: Seconds; others?: readonly string[]; written?: (name: string) => string | undefined } = {},
): { readonly text: string; readonly contexts: readonly string[] } {
  const config = new KubeconfigText(text);
  const beside = others.map((other) => new KubeconfigText(other));
  const contexts = clusters.map((cluster) => addCluster(config, beside, cluster, { ...CALL, max_age }, written));
  if (config.currentContext === undefined && contexts[0] !== undefined) config.setCurrentContext(contexts[0]);
  return { text: config.toString(), contexts };
}

interface Entry {
  readonly name: string;
  readonly [field: string]: unknown;
}

type Config = Readonly<Record<string, unknown>> & {
  readonly [list in (typeof LISTS)[number]]?: readonly Entry[] | null;
};
const LISTS = ['clusters', 'users', 'contexts'] as const;

function valuesOf(text: string): Config {
  return (parse(
    text
      .replace(/\r\n/g, '\n')
      .split(/^(?:\.\.\.|---)$/m)
      .find((part) => part.trim() !== '') ?? '',
  ) ?? {}) as Config;
}

/** Without the entries of these names, and without what we may set. */
function othersIn(config: Config, ours: readonly string[]): unknown {
  const { 'current-context': _, ...rest } = config;
  const lists = LISTS.map((list) => [list, (config[list] ?? []).filter(({ name }) => !ours.includes(name))]);
  return { ...rest, apiVersion: 'v1', kind: 'Config', ...Object.fromEntries(lists) };
}

/** Whether each line is there, in order. Lines that say that a list, or the current context, is empty are ours to fill. */
function assertLinesKept(before: string, after: string): void {
  // In one line there is nothing but values to compare.
  if (/^\{.*apiVersion.*\}\s*$/m.test(before)) return;
  const filled =
    /^\s*(?:"?(?:clusters|users|contexts|current-context)"?\s*:\s*(?:null|~|\[\s*\]|""|'')?,?|\{\s*\}|[\]}],?)\s*(?:#.*)?$/;
  // Whether line ends are kept is looked at elsewhere.
  const lines = after.split(/\r?\n/);
  let at = 0;
  for (const line of before.split(/\r?\n/)) {
    if (line.trim() === '' || filled.test(line)) continue;
    // The last of a list in brackets gets a comma.
    const found = lines.findIndex(
      (candidate, i) => i >= at && (candidate === line || candidate === `${line.trimEnd()},`),
    );
    assert.ok(found >= at, `the line ${JSON.stringify(line)} is gone or elsewhere:\n${after}`);
    at = found + 1;
  }
}

const word = fc.oneof(
  fc.constantFrom('dev', 'prod', 'home', ...ODD_WORDS),
  fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme-ascii' }),
);
const secret = fc.oneof(word, fc.constant('line one\nline two\n'), fc.constant('x'.repeat(200)));
const listOf = (field: string, value: fc.Arbitrary<unknown>) =>
  fc.oneof(
    { weight: 1, arbitrary: fc.constantFrom(null, undefined, []) },
    {
      weight: 4,
      arbitrary: fc.uniqueArray(fc.record({ name: word, [field]: value }), {
        maxLength: 4,
        selector: (entry) => entry.name,
      }),
    },
  );
const config = fc.record({
  apiVersion: fc.constant('v1'),
  kind: fc.constant('Config'),
  preferences: fc.constantFrom({}, { colors: true }, undefined),
  clusters: listOf('cluster', fc.record({ server: word, 'x-unknown': fc.constantFrom([1, 2], {}, 'text', undefined) })),
  users: listOf(
    'user',
    fc.oneof(
      fc.record({ token: secret }),
      fc.record({ exec: fc.record({ command: word, args: fc.array(word, { maxLength: 3 }) }) }),
    ),
  ),
  contexts: listOf('context', fc.record({ cluster: word, user: word, namespace: fc.option(word, { nil: undefined }) })),
  'current-context': fc.oneof(fc.constantFrom('', undefined), word),
  'x-future': fc.oneof(fc.constant(undefined), secret, fc.constant({ deep: [{ er: 1 }] })),
});

/** A file as people and programs write it. */
const file = fc
  .record({
    config,
    form: fc.constantFrom('block', 'block', 'indented', 'flow', 'json', 'json on one line'),
    comments: fc.array(fc.nat({ max: 60 }), { maxLength: 4 }),
    crlf: fc.boolean(),
    start: fc.constantFrom('', '', '---\n', '# top\n\n'),
    rest: fc.constantFrom(
      '',
      '',
      '---\napiVersion: v1\nkind: Config\nclusters: [ {name: dev} ]\n',
      '...\n',
      '# the end\n',
    ),
    cut: fc.boolean(),
  })
  .map(({ config, form, comments, crlf, start, rest, cut }) => {
    const defined = JSON.parse(JSON.stringify(config)) as Config;
    const json = form.startsWith('json');
    const options = {
      lineWidth: 0,
      version: '1.1',
      indentSeq: form === 'indented',
      collectionStyle: form === 'flow' ? 'flow' : 'any',
    } as const;
    let text = json
      ? `${JSON.stringify(defined, null, form === 'json' ? 2 : undefined)}\n`
      : stringify(defined, options);
    if (!json && !/[|>][-+]?\n/.test(text)) {
      const lines = text.split('\n');
      for (const at of comments) if (at < lines.length && form !== 'flow') lines.splice(at, 0, `# comment ${at}`);
      text = lines.join('\n');
    }
    const whole = json ? text : start + text + rest;
    const ended = cut ? whole.trimEnd() : whole;
    return crlf ? ended.replaceAll('\n', '\r\n') : ended;
  });

const clusters = fc
  .uniqueArray(fc.constantFrom('dev', 'prod', 'yes', 'a-b'), { minLength: 1, maxLength: 3 })
  .map((names) => names.map((name) => clusterOf(name)));

describe('P15 whatever is not ours', () => {
  it('is byte for byte as before, and reads as before; a second time changes nothing', () => {
    fc.assert(
      fc.property(file, clusters, (before, wanted) => {
        const { text, contexts } = setUp(before, wanted);
        assertLinesKept(before, text);
        const [old, now] = [valuesOf(before), valuesOf(text)];
        assert.deepEqual(othersIn(now, contexts), othersIn(old, contexts));
        assert.equal(now['current-context'], old['current-context'] || contexts[0]);
        for (const name of contexts) {
          const context = now.contexts?.filter((entry) => entry.name === name) ?? [];
          assert.deepEqual(context, [{ context: { cluster: name, user: name }, name }]);
          assert.equal(now.users?.filter((entry) => entry.name === name).length, 1);
          assert.equal(now.clusters?.filter((entry) => entry.name === name).length, 1);
        }
        assert.equal(setUp(text, wanted).text, text);
        // Another call of the plugin changes the entries of ours alone.
        const later = setUp(text, wanted, { max_age: seconds(600) });
        assert.deepEqual(later.contexts, contexts);
        assertLinesKept(before, later.text);
        const after = valuesOf(later.text);
        assert.deepEqual(othersIn(after, contexts), othersIn(old, contexts));
        assert.match(JSON.stringify(after.users), /"--max-age","10m"/);
        assert.equal(later.text.includes('\r\n'), text.includes('\r\n'));
        if (before.includes('\r\n')) assert.doesNotMatch(later.text, /[^\r]\n/);
      }),
      { numRuns: 400 },
    );
  });

  it('reads as before to kubectl', async () => {
    const { kubectl } = await ensureBinaries();
    const dir = temporaryFolder('kubectl');
    const view = async (text: string) => {
      writeFileSync(`${dir}/config`, text);
      const { code, stdout, stderr } = await run(kubectl, ['config', 'view', '--raw', '-o', 'json'], {
        env: { KUBECONFIG: `${dir}/config`, HOME: dir },
      });
      return code === 0 ? (JSON.parse(stdout) as Config) : stderr;
    };
    let read = 0;
    for (const before of fc.sample(file, { numRuns: 24, seed: 20_261_126 })) {
      const old = await view(before);
      // What kubectl cannot read does not have to be changed.
      if (typeof old === 'string') continue;
      read++;
      const { text, contexts } = setUp(before);
      const now = await view(text);
      assert.ok(typeof now !== 'string', `${now}\n${text}`);
      assert.deepEqual(othersIn(now, contexts), othersIn(old, contexts));
      assert.equal(now['current-context'], old['current-context'] || contexts[0]);
      assert.deepEqual(
        now.contexts?.find(({ name }) => name === contexts[0]),
        { name: contexts[0], context: { cluster: contexts[0], user: contexts[0] } },
      );
    }
    assert.ok(read >= 10, `kubectl read ${read} of them`);
  });

  it('stays in further documents, with text after the end of the first', () => {
    const rest =
      '...\n---\nclusters:\n- name: work\n  cluster: {server: https://127.0.0.1:8443}\n---\n: not even a mapping [\n';
    const { text } = setUp(`# first\nclusters: []\n${rest}`);
    assert.ok(text.endsWith(rest));
    assert.ok(text.startsWith('# first\nclusters: \n- cluster:\n'));
  });
});

const CLUSTER = (server: string, more = '') => `- name: dev\n  cluster:\n    server: ${server}\n${more}`;
const OUR_USER = `- name: dev\n  user:\n    exec: {apiVersion: client.authentication.k8s.io/v1, command: x, args: [get-token, --broker, '${CALL.broker}', --cluster, dev]}\n`;
const OUR_CONTEXT = '- name: dev\n  context: {cluster: dev, user: dev}\n';
const admin = '- name: admin\n  context: {cluster: dev, user: admin}\n';

describe('P15 an entry of our name', () => {
  for (const [what, text, context] of [
    [
      'with the same server, in which another context trusts',
      `clusters:\n${CLUSTER(DEV.server)}contexts:\n${admin}`,
      'curfew-dev',
    ],
    ['with the same server, which no context names', `clusters:\n${CLUSTER(DEV.server)}`, 'curfew-dev'],
    ['with another server', `clusters:\n${CLUSTER('https://kind:1')}`, 'curfew-dev'],
    [
      'with another server, beside a user of ours',
      `clusters:\n${CLUSTER('https://kind:1')}users:\n${OUR_USER}contexts:\n${OUR_CONTEXT}`,
      'curfew-dev',
    ],
    [
      'with our user, and a context of another user',
      `clusters:\n${CLUSTER(DEV.server)}users:\n${OUR_USER}contexts:\n- name: dev\n  context: {cluster: dev, user: admin}\n`,
      'curfew-dev',
    ],
    [
      'that is ours, and that another context names as well',
      `clusters:\n${CLUSTER(DEV.server)}users:\n${OUR_USER}contexts:\n${OUR_CONTEXT}${admin}`,
      'curfew-dev',
    ],
    [
      'with a user that calls another plugin',
      `users:\n- name: dev\n  user: {exec: {command: aws, args: [get-token, --cluster, dev]}}\n`,
      'curfew-dev',
    ],
    [
      'with a user of another broker',
      `users:\n${OUR_USER.replace(CALL.broker, 'https://other.example')}`,
      'curfew-dev',
    ],
    [
      'with our user for another cluster',
      `users:\n${OUR_USER.replace('--cluster, dev', '--cluster, prod')}`,
      'curfew-dev',
    ],
    ['where a text is instead of a user', 'users:\n- name: dev\n  user: text\n', 'curfew-dev'],
    ['where a text is instead of exec', 'users:\n- name: dev\n  user: {exec: text}\n', 'curfew-dev'],
    ['where a text is instead of args', 'users:\n- name: dev\n  user: {exec: {args: text}}\n', 'curfew-dev'],
    [
      'where a text is instead of a context',
      `users:\n${OUR_USER}contexts:\n- {name: dev, context: text}\n`,
      'curfew-dev',
    ],
    ['where nothing is', 'users:\n- name: dev\ncontexts:\n- name: dev\nclusters:\n- name: dev\n', 'curfew-dev'],
    ['taken twice over', `contexts:\n- {name: dev, context: {}}\n- {name: curfew-dev, context: {}}\n`, 'curfew-dev-2'],
    [
      'equal in every field is used',
      `clusters:\n${CLUSTER(DEV.server, '    certificate-authority-data: Q0E=\n')}contexts:\n${admin}`,
      'dev',
    ],
    [
      'of ours, with an older certificate, is brought up to date',
      `clusters:\n${CLUSTER(DEV.server, '    certificate-authority-data: T0xE\n')}users:\n${OUR_USER}contexts:\n${OUR_CONTEXT}`,
      'dev',
    ],
  ] as const) {
    it(`${what}: ${context}`, () => {
      const after = setUp(text);
      assert.deepEqual(after.contexts, [context]);
      const [old, now] = [valuesOf(text), valuesOf(after.text)];
      if (context !== 'dev') {
        for (const list of LISTS)
          for (const entry of old[list] ?? [])
            assert.deepEqual(
              now[list]?.find(({ name }) => name === entry.name),
              entry,
            );
        assertLinesKept(text, after.text);
      }
      const written = now.clusters?.find(({ name }) => name === context);
      assert.deepEqual(written?.cluster, { server: DEV.server, 'certificate-authority-data': 'Q0E=' });
      if (text.includes(admin)) {
        const theirs = now.contexts?.find(({ name }) => name === 'admin');
        assert.deepEqual(theirs?.context, { cluster: 'dev', user: 'admin' });
      }
    });
  }

  it('follows a server that moved, where setup wrote the old address; not where the person did', () => {
    const { text } = setUp('');
    const moved = clusterOf('dev', { server: 'https://moved.example.com' });
    const followed = setUp(text, [moved], { written: () => DEV.server });
    assert.deepEqual(followed.contexts, ['dev']);
    assert.match(followed.text, /https:\/\/moved/);
    assert.deepEqual(setUp(text, [moved]).contexts, ['curfew-dev']);
    const theirs = text.replace(DEV.server, 'https://tunnel:1');
    const beside = setUp(theirs, [DEV], { written: () => DEV.server });
    assert.deepEqual(beside.contexts, ['curfew-dev']);
    assert.match(beside.text, /https:\/\/tunnel:1/);
  });

  it('keeps what the person added: variables of exec, whether it may ask, fields of cluster and context', () => {
    const { text } = setUp('');
    const added = text
      .replace('      env:\n', '      env:\n      - name: HTTPS_PROXY # ours\n        value: http://proxy:3128\n')
      .replace('IfAvailable', 'Never')
      .replace('provideClusterInfo: false', 'provideClusterInfo: true')
      .replace(`    server: ${DEV.server}\n`, `    server: ${DEV.server}\n    tls-server-name: dev.internal\n`)
      .replace('    user: dev\n', '    user: dev\n    namespace: team-a # mine\n');
    assert.notEqual(added, text);
    assert.equal(setUp(added).text.includes('HTTPS_PROXY'), true);
    const after = setUp(added, [DEV], { max_age: seconds(600) });
    const { users, clusters, contexts } = valuesOf(after.text) as unknown as Record<
      string,
      [Record<string, Record<string, unknown>>]
    >;
    const exec = users?.[0].user?.exec as Record<string, unknown>;
    assert.deepEqual((exec.env as Entry[]).map(({ name }) => name).sort(), ['HTTPS_PROXY', 'KUBERNETES_EXEC_INFO']);
    assert.deepEqual([exec.interactiveMode, exec.provideClusterInfo], ['Never', true]);
    assert.equal(clusters?.[0].cluster?.['tls-server-name'], 'dev.internal');
    assert.equal(contexts?.[0].context?.namespace, 'team-a');
    assert.match(after.text, /namespace: team-a # mine/);
    assert.equal(setUp(after.text, [DEV], { max_age: seconds(600) }).text, after.text);
  });

  it('written with anchors is not changed, and the reason is said', () => {
    const text = `clusters:\n${CLUSTER(DEV.server)}users:\n${OUR_USER.replace('user:\n', 'user: &shared\n')}- {name: b, user: *shared}\ncontexts:\n${OUR_CONTEXT}`;
    assert.throws(
      () => setUp(text),
      (error: unknown) => error instanceof TextFault && /anchors/.test(error.message),
    );
  });

  it('in another file of KUBECONFIG counts as well', () => {
    const other = `clusters:\n${CLUSTER('https://work:1')}contexts:\n- {name: dev, context: {cluster: dev, user: work}}\n`;
    assert.deepEqual(setUp('', [DEV], { others: [other] }).contexts, ['curfew-dev']);
  });
});

describe('P15 what cannot be a kubeconfig is left as it is, and its fault is named', () => {
  for (const [what, text] of [
    ['a list', '- a\n'],
    ['a text', 'hello\n'],
    ['a map where a list belongs', 'clusters: {a: b}\n'],
    ['a text where a list belongs', 'users: text\n'],
    ['a number where a list belongs', 'contexts: 3\n'],
    ['brackets left open', 'clusters: [\n'],
    ['tabs', 'clusters:\n\t- a\n'],
    ['a key twice', 'clusters: []\nclusters: []\n'],
    ['an empty first document before another', '---\n---\nclusters: []\n'],
    ['an alias without its anchor', 'clusters: *none\n'],
  ] as const) {
    it(what, () => {
      assert.throws(() => setUp(text), TextFault);
    });
  }
});

describe('P15 the file itself', () => {
  const dir = temporaryFolder('p15');
  let count = 0;
  const path = () => `${dir}/${++count}`;
  const host = testHost();
  const edit = (name: string) => editKubeconfig(host, name, (config) => addCluster(config, [], DEV, CALL, never));
  const leftOver = () => readdirSync(dir).filter((name) => /lock$|tmp$/.test(name));
  const TEXT = 'apiVersion: v1\nkind: Config\nclusters:\n- {name: größe, cluster: {server: https://a}}\n';

  for (const [what, encode] of [
    ['UTF-8 with a mark', (text: string) => Buffer.from(`\ufeff${text}`)],
    ['UTF-16, little end first', (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le')],
    ['UTF-16, big end first', (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le').swap16()],
  ] as const) {
    it(`in ${what} stays so, to the byte`, async () => {
      const name = path();
      writeFileSync(name, encode(TEXT));
      await edit(name);
      const after = readFileSync(name);
      assert.ok(after.subarray(0, encode(TEXT).length).equals(encode(TEXT)));
      assert.ok(after.includes(encode('get-token').subarray(encode('').length)));
      const { kubectl } = await ensureBinaries();
      const env = { KUBECONFIG: name, HOME: dir };
      const { stdout } = await run(kubectl, ['config', 'view', '-o', 'jsonpath={.clusters[*].name}'], { env });
      assert.equal(stdout, 'dev größe');
    });
  }

  it('in no encoding that kubectl reads is refused by name, as it is', async () => {
    for (const bytes of [
      Buffer.from([0x61, 0xff, 0x62]),
      Buffer.from([0xff, 0xfe, 0x00, 0xd8]),
      Buffer.from([0xff, 0xfe, 0x41]),
    ]) {
      const name = path();
      writeFileSync(name, bytes);
      await assert.rejects(edit(name), { code: 'configuration', message: /is not valid UTF-(8|16LE)$/ });
      assert.ok(readFileSync(name).equals(bytes));
    }
  });

  it('that is not a regular file, or huge, is refused and not waited for', async () => {
    const fifo = path();
    await run('mkfifo', [fifo]);
    await assert.rejects(edit(fifo), { code: 'configuration', message: /is not a regular file$/ });
    await assert.rejects(edit(dir), { code: 'configuration', message: /is not a regular file$|cannot be read/ });
    const huge = path();
    writeFileSync(huge, '# '.repeat(5_000_000));
    await assert.rejects(edit(huge), { code: 'configuration', message: /larger than 8 MiB$/ });
    assert.deepEqual(leftOver(), []);
  });

  it('behind a link without a target is made where the link leads', async () => {
    const [link, target] = [path(), path()];
    symlinkSync(target, link);
    await edit(link);
    assert.ok(lstatSync(link).isSymbolicLink());
    assert.match(readFileSync(target, 'utf8'), /get-token/);
    const astray = path();
    symlinkSync(`${dir}/nowhere/config`, astray);
    await assert.rejects(edit(astray), { code: 'configuration' });
    const [one, two] = [path(), path()];
    symlinkSync(two, one);
    symlinkSync(one, two);
    await assert.rejects(edit(one), { code: 'configuration' });
  });

  it('keeps its other names, its mode whatever the umask, and its owner', async () => {
    const [name, other] = [path(), path()];
    writeFileSync(name, TEXT);
    linkSync(name, other);
    await edit(name);
    assert.equal(statSync(name).ino, statSync(other).ino);
    assert.match(readFileSync(other, 'utf8'), /get-token/);
    const shared = path();
    writeFileSync(shared, TEXT);
    chmodSync(shared, 0o664);
    if (host.uid === 0) chownSync(shared, 12_345, 12_345);
    const before = process.umask(0o077);
    try {
      await edit(shared);
    } finally {
      process.umask(before);
    }
    const { mode, uid } = statSync(shared);
    assert.deepEqual([mode & 0o777, uid], [0o664, host.uid === 0 ? 12_345 : host.uid]);
    assert.deepEqual(leftOver(), []);
  });

  it('that is a mount point is written in place', async () => {
    const [name, behind] = [path(), path()];
    writeFileSync(name, '');
    writeFileSync(behind, TEXT);
    const program = new URL('./kubeconfig_edit.ts', import.meta.url).pathname;
    const script = `mount --bind "${behind}" "${name}" && exec "${process.execPath}" "${program}" "${name}"`;
    const { code, stderr } = await run('unshare', ['-rm', 'sh', '-c', script]);
    assert.equal(code, 0, stderr);
    assert.equal(readFileSync(name, 'utf8'), '');
    assert.match(readFileSync(behind, 'utf8'), /größe[\s\S]*get-token/);
    assert.deepEqual(leftOver(), []);
  });

  it('that cannot be written is left as it is', async (context) => {
    const name = path();
    mkdirSync(`${name}.d`);
    const inside = `${name}.d/config`;
    writeFileSync(inside, TEXT);
    chmodSync(inside, 0o400);
    const program = new URL('./kubeconfig_edit.ts', import.meta.url).pathname;
    context.after(() => chmodSync(inside, 0o600));
    // For root the mode counts for nothing: another user tries.
    const words = [process.execPath, program, inside];
    if (host.uid === 0) {
      chownSync(`${name}.d`, 12_345, 12_345);
      chownSync(inside, 12_345, 12_345);
      await run('chmod', ['a+rx', dir]);
    }
    const as = host.uid === 0 ? ['setpriv', '--reuid=12345', '--regid=12345', '--clear-groups'] : [];
    const [command = '', ...args] = [...as, ...words];
    const { code, stdout } = await run(command, args);
    assert.equal(code, 1);
    assert.match(stdout, /is read-only: nothing was written/);
    assert.equal(readFileSync(inside, 'utf8'), TEXT);
  });

  it('is looked for where kubectl looks, each once', () => {
    const files = (KUBECONFIG: string) => kubeconfigFiles({ env: { KUBECONFIG, HOME: '/home/alice' } }, undefined);
    assert.deepEqual(files('/a:/b::/a'), ['/a', '/b']);
    assert.deepEqual(files(''), ['/home/alice/.kube/config']);
    assert.deepEqual(files('x'), [`${process.cwd()}/x`]);
    const missing = `${dir}/not-there`;
    assert.equal(readKubeconfig(missing).currentContext, undefined);
    assert.ok(!existsSync(missing));
  });
});
