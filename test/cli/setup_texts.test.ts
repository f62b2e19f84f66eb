// What `setup` would write and takes away again, on kubeconfigs of all kinds: nothing of others changes, and no secret is shown.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { addCluster } from '../../cli/kubeconfig/entries.ts';
import { allowIn, disallowIn } from '../../cli/kubeconfig/kuberc_text.ts';
import { entriesOf, removeEntries } from '../../cli/kubeconfig/removal.ts';
import { KubeconfigText } from '../../cli/kubeconfig/text.ts';
import { TextFault } from '../../cli/kubeconfig/yaml.ts';
import { diffOf } from '../../cli/setup/shown.ts';
import type { MetadataCluster } from '../../shared/metadata.ts';

const FOLDER = path.join(import.meta.dirname, 'kubeconfigs');
const BROKER = 'https://curfew.example';
const CALL = { command: '/x/kubectl-curfew', api: 'v1', broker: BROKER, max_age: undefined, ca_file: '/x/ca.crt' };
const CLUSTERS = ['dev', 'prod'].map(
  (name) => ({ name, server: `https://${name}.example.com`, audience: name }) as MetadataCluster,
);

function setUp(text: string): string {
  const config = new KubeconfigText(text);
  const names = CLUSTERS.map((cluster) => addCluster(config, [], cluster, CALL, () => undefined));
  if (config.currentContext === undefined) config.setCurrentContext(names[0] as string);
  return config.toString();
}

function takeAway(text: string): string {
  return removeEntries(text, entriesOf(new KubeconfigText(text), [], BROKER).names);
}

/** The corpus of `audit kubeconfig`, as far as it can be read as kubeconfig. */
function corpus(): readonly (readonly [string, string])[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => [name, readFileSync(path.join(FOLDER, name), 'utf8')] as const)
    .filter(([, text]) => {
      try {
        return setUp(text) !== text;
      } catch (error) {
        if (error instanceof TextFault) return false;
        throw error;
      }
    });
}

/** What the parser gives, without what reads the same: no list and an empty one, no current context and an empty one. */
function meaning(text: string): unknown {
  const value = (parse(text, { merge: true, version: '1.1' }) ?? {}) as Record<string, unknown>;
  const lists = ['clusters', 'users', 'contexts'].map((list) => [list, value[list] ?? []]);
  const known = { apiVersion: 'v1', kind: 'Config', ...value };
  return { ...known, ...Object.fromEntries(lists), 'current-context': value['current-context'] || undefined };
}

const hasAll = (text: string) => {
  const value = parse(text, { merge: true, version: '1.1' }) as Record<string, unknown[]> | null;
  return ['clusters', 'users', 'contexts', 'current-context'].every((key) => (value?.[key]?.length ?? 0) > 0);
};

describe('set up and taken away again', () => {
  it('leaves each kubeconfig of the corpus as it was, to the byte where it had something in each list', () => {
    let exact = 0;
    const all = corpus();
    for (const [name, text] of all) {
      const after = takeAway(setUp(text));
      const [first] = text.split(/^---$/m);
      if (hasAll(first ?? '') && !/^---$/m.test(text)) {
        exact += 1;
        assert.equal(after, text, name);
      } else if (!/^---$/m.test(text)) assert.deepEqual(meaning(after), meaning(text), name);
    }
    assert.ok(all.length >= 60 && exact >= 40, `${all.length} files, ${exact} to the byte`);
  });

  it('shows no secret of any of them', () => {
    let shown = 0;
    for (const [name, text] of corpus()) {
      for (const diff of [diffOf(name, text, setUp(text)), diffOf(name, setUp(text), text)]) {
        assert.doesNotMatch(diff, /CANARY/, name);
        if (/[+-].*get-token/.test(diff)) shown += 1;
      }
    }
    assert.ok(shown >= 100, `${shown} show what is ours`);
  });

  it('takes items from lists in brackets, wherever they are', () => {
    const user = (name: string) => `{name: ${name}, user: {token: secret-${name}}}`;
    const ours = `{name: dev, user: {exec: {command: /x, args: [get-token, --broker, '${BROKER}', --cluster, dev]}}}`;
    const context = '{name: dev, context: {cluster: dev, user: dev}}';
    const orders = [
      [ours, user('a'), user('b')],
      [user('a'), ours, user('b')],
      [user('a'), user('b'), ours],
    ];
    for (const order of orders) {
      const text = `users: [${order.join(', ')}]\ncontexts: [${context}]\nclusters: [{name: dev, cluster: {}}]\n`;
      const after = takeAway(text);
      assert.equal(after, `users: [${user('a')}, ${user('b')}]\ncontexts: []\nclusters: []\n`);
      assert.doesNotMatch(diffOf('f', text, after), /secret-/);
    }
  });

  it('keeps what others use, and says so', () => {
    const text = setUp('');
    const config = new KubeconfigText(text);
    config.set('contexts', 'mine', { context: { cluster: 'dev', user: 'me', namespace: 'team' } });
    config.set('contexts', 'other', { context: { cluster: 'prod', user: 'prod', namespace: 'team' } });
    config.set('users', 'fixed', { user: parse(setUp('')).users[0].user });
    const shared = config.toString();
    const { names, stays } = entriesOf(new KubeconfigText(shared), [], BROKER);
    assert.deepEqual([...(names.get('clusters') ?? [])], []);
    assert.equal(stays.length, 4, stays.join('\n'));
    assert.match(stays.join('\n'), /the cluster dev is used by the context mine/);
    assert.match(stays.join('\n'), /the context other names the user prod, which is gone/);
    assert.match(stays.join('\n'), /the user fixed calls this plugin too/);
    const left = parse(removeEntries(shared, names));
    const named = (list: string) => left[list].map((entry: { name: string }) => entry.name);
    assert.deepEqual(
      [named('clusters'), named('users'), named('contexts')],
      [['dev', 'prod'], ['fixed'], ['mine', 'other']],
    );
    assert.equal(left['current-context'], '');
  });

  it('writes nothing where an anchor of others is in what would go', () => {
    const ours = `- name: dev\n  user: &u\n    exec: {command: /x, args: [get-token, --broker, '${BROKER}', --cluster, dev]}\n`;
    const text = `users:\n${ours}- name: b\n  user: *u\ncontexts:\n- name: dev\n  context: {cluster: dev, user: dev}\n`;
    assert.throws(() => takeAway(text), TextFault);
  });
});

describe('kuberc', () => {
  const head = 'apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n';
  const aliases = '# mine\naliases:\n- name: gn # nodes\n  command: get nodes\n';
  const listed = `${head}${aliases}credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n- command: /usr/bin/other\n`;

  it('gets one entry, and loses it again; all else stays to the byte', () => {
    const texts = [
      listed,
      `${listed}\n# the end\n`,
      listed.replaceAll('\n', '\r\n'),
      `${head}credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: [{command: other}] # in brackets\n${aliases}`,
      `{"apiVersion":"kubectl.config.k8s.io/v1beta1","kind":"Preference","credentialPluginPolicy":"Allowlist","credentialPluginAllowlist":[{"command":"other"}]}`,
      `  credentialPluginPolicy: Allowlist\n  credentialPluginAllowlist:\n    -   command: other\n  apiVersion: kubectl.config.k8s.io/v1beta1\n`,
    ];
    for (const text of texts)
      for (const field of ['name', 'command'] as const) {
        const after = allowIn(text, field, '/x/kubectl-curfew', ['ignored']);
        assert.deepEqual(parse(after).credentialPluginAllowlist.at(-1), { [field]: '/x/kubectl-curfew' });
        assert.equal(parse(after).credentialPluginAllowlist.length, 2);
        assert.equal(allowIn(after, field, '/x/kubectl-curfew', []), after, 'it is there already');
        assert.equal(disallowIn(after, '/x/kubectl-curfew'), text);
      }
  });

  it('of before that named no plugins, or was not there, names those that kubeconfigs call as well', () => {
    const expected = [{ name: '/x/k' }, { name: 'aws' }];
    for (const text of ['', '# nothing yet\n', `${head}${aliases}`, `${head}${aliases.trimEnd()}`]) {
      const after = allowIn(text, 'name', '/x/k', ['aws', '/x/k']);
      const { apiVersion, credentialPluginPolicy, credentialPluginAllowlist } = parse(after);
      assert.deepEqual([apiVersion, credentialPluginPolicy], ['kubectl.config.k8s.io/v1beta1', 'Allowlist']);
      assert.deepEqual(credentialPluginAllowlist, expected);
      assert.ok(after.startsWith(text.trimEnd()));
    }
  });

  it('is left where it says that all may run, and where its person has to decide', () => {
    const all = `${head}credentialPluginPolicy: AllowAll\n`;
    assert.equal(allowIn(all, 'command', '/x', []), all);
    const refused = [
      `${head}credentialPluginPolicy: DenyAll\n`,
      `apiVersion: kubectl.config.k8s.io/v1alpha1\nkind: Preference\n${aliases}`,
      `${head}---\n${head}`,
      '- a list\n',
      `${head}credentialPluginPolicy: Allowlist\n`,
    ];
    for (const text of refused) assert.throws(() => allowIn(text, 'command', '/x', []), TextFault, text);
    assert.equal(disallowIn(`${head}${aliases}`, '/x'), `${head}${aliases}`);
  });

  it('of any entries reads as before, with one more', () => {
    const words = fc.constantFrom('/usr/bin/a', 'b', "it's", '# no', '- x', '日本', 'yes', '0123', 'a: b');
    fc.assert(
      fc.property(fc.array(words, { minLength: 1 }), words, fc.boolean(), (names, file, indented) => {
        const items = names.map((name) => `${indented ? '  ' : ''}- command: ${JSON.stringify(name)}\n`).join('');
        const text = `${head}credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n${items}${aliases}`;
        const after = allowIn(text, 'command', file, []);
        const expected = names.includes(file) ? names : [...names, file];
        const found = parse(after, { version: '1.1' }).credentialPluginAllowlist;
        assert.deepEqual(
          found.map(({ command }: { command: string }) => command),
          expected,
        );
        if (!names.includes(file)) assert.equal(disallowIn(after, file), text);
      }),
    );
  });
});
