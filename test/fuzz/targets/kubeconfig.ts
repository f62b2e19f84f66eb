// Kubeconfigs: what is not ours stays, and the prompt's own reader reads as one that knows all of YAML.

import assert from 'node:assert/strict';
import { parseAllDocuments } from 'yaml';
import { KubeconfigText } from '../../../cli/kubeconfig/text.ts';
import { TextFault } from '../../../cli/kubeconfig/yaml.ts';
import { ReadKubeconfig, scanKubeconfig } from '../../../cli/warm/kubeconfig_scan.ts';
import { isObject } from '../../../shared/wire.ts';
import { type Targets, textOf } from '../target.ts';

const KUBECONFIG = `# mine
apiVersion: v1
kind: Config
clusters:
- cluster:
    server: https://10.0.0.1:6443
    certificate-authority-data: LS0t
  name: prod
users:
- name: prod
  user: {token: abc}   # a comment
- name: dev
  user:
    exec:
      args:
      - get-token
      - --broker
      - "https://c"
contexts:
- context: {cluster: prod, user: prod, namespace: "a b"}
  name: prod
current-context: prod
preferences: {}
`;
const SEEDS = [
  ...[KUBECONFIG, `---\n${KUBECONFIG}`, KUBECONFIG.replaceAll('\n', '\r\n'), '', 'a: &a {b: 1}\nusers:\n- <<: *a\n'],
  ...[JSON.stringify({ users: [{ name: 'x', user: { token: 't' } }] }), 'users: []\n', 'users:\n- name: x\n'],
  '---\n---\nusers:\n- name: prod\n',
  ...['---\n---\n]', '---\ufeff\nk:\n', '\r{"users":[{"name":"x"}]}'],
];
const WORDS = [
  ...['users:', 'clusters:', 'contexts:', '- name: ', 'user:', 'exec:', 'args:', 'curfew', '\n  ', '\n- ', '&x ', '*x'],
  ...['!!str ', '---\n', '...\n', '%YAML 1.1\n', '? ', 'yes', '0123', "'", '"', '{}', '[]', '\r\n', '# '],
];

/** The first document, as any reader of YAML has it; `undefined` where it has none. */
function firstValue(text: string): { readonly value: unknown } | undefined {
  const documents = parseAllDocuments(text, { version: '1.1', merge: true, logLevel: 'silent' });
  const first = Array.isArray(documents) ? documents[0] : undefined;
  if (first && first.errors.length > 0) return undefined;
  try {
    return { value: first?.toJS() ?? {} };
  } catch {
    return undefined;
  }
}

function ofOthers(value: unknown): unknown {
  if (!isObject(value)) return value;
  const { users, apiVersion: _, kind: __, clusters, contexts, ...rest } = value;
  const left = (Array.isArray(users) ? users : []).filter((user) => !isObject(user) || String(user.name) !== 'curfew');
  return { ...rest, users: left, clusters: clusters ?? [], contexts: contexts ?? [] };
}

function refused<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof TextFault) return undefined;
    throw error;
  }
}

function withOurs(text: string): string | undefined {
  return refused(() => {
    const config = new KubeconfigText(text);
    config.set('users', 'curfew', { user: { token: 'new' } });
    return config.toString();
  });
}

export const kubeconfig: Targets = {
  kubeconfig: {
    ...{ seeds: SEEDS, words: WORDS },
    run(input) {
      const text = textOf(input);
      const before = firstValue(text);
      const after = withOurs(text);
      if (after === undefined || !before) return;
      const read = firstValue(after);
      assert.ok(read, 'what is written is no YAML');
      assert.deepEqual(ofOthers(read.value), ofOthers(before.value), 'something of others is changed');
      const config = new KubeconfigText(after);
      const user = config.find('users', 'curfew')?.user;
      assert.ok(isObject(user) && user.token === 'new', 'ours is not there');
      assert.equal(withOurs(after), after, 'changed again by the same change');
    },
  },
  kubeconfig_scan: {
    ...{ seeds: SEEDS, words: WORDS },
    run(input) {
      const text = textOf(input);
      const scanned = scanKubeconfig(text);
      if (scanned === undefined) return;
      const whole = firstValue(text);
      // JSON that says a name twice: JSON.parse takes the last one.
      if (!whole && /^\s*\{/.test(text)) return;
      assert.ok(whole, 'read although it is no YAML');
      const [ours, theirs] = [new ReadKubeconfig(scanned), new ReadKubeconfig(whole.value)];
      assert.equal(ours.currentContext, theirs.currentContext, 'another current context');
      for (const name of ['prod', 'dev', 'x']) {
        assert.equal(ours.userOf(name), theirs.userOf(name), 'another user');
        assert.deepEqual(ours.argumentsOf(name), theirs.argumentsOf(name), 'other arguments');
      }
    },
  },
};
