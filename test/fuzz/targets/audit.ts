// The audit of kubeconfigs: the quick reader finds what the one that knows all of YAML finds, at the same lines; and a user that is
// replaced leaves all else as it is, or nothing is written.

import assert from 'node:assert/strict';
import { inspectText } from '../../../cli/audit/inspect.ts';
import { FINDINGS } from '../../../cli/audit/names.ts';
import type { World } from '../../../cli/audit/world.ts';
import { KubeconfigText } from '../../../cli/kubeconfig/text.ts';
import { TextFault } from '../../../cli/kubeconfig/yaml.ts';
import { seconds } from '../../../shared/time.ts';
import { NOW, type Targets, textOf } from '../target.ts';

const WORLD: World = {
  now: seconds(NOW),
  read: () => ({ fault: 'ENOENT' }),
  allowed: { policy: 'AllowAll', has: () => false },
  exchangeable: () => undefined,
  ci: false,
};
const KUBECONFIG = `# token: was-here-before
apiVersion: v1
kind: Config
clusters:
- cluster:
    insecure-skip-tls-verify: true
    server: http://u:pw@10.0.0.1:8080
  name: prod
users:
- name: prod
  user:
    token: abcdefgh   # a comment
- name: ci
  user:
    as: admin
    exec:
      args:
      - --token=secretsecret
      - --client-secret
      - other
      command: ./x
      env:
      - name: AWS_SECRET_ACCESS_KEY
        value: zzz
- name: old
  user: {username: a, password: "b c"}
  notes: x
contexts:
- context: {cluster: prod, user: prod}
  name: prod
x-tool:
  refresh_token: rrrr
`;
const SEEDS = [
  ...[
    KUBECONFIG,
    KUBECONFIG.replace('{username: a, password: "b c"}', '\n    password: yes'),
    JSON.stringify({ users: [{ name: 'x', user: { token: 't' } }] }),
  ],
  ...[
    KUBECONFIG.replaceAll('\n', '\r\n'),
    `${KUBECONFIG}---\n${KUBECONFIG}`,
    'users:\n- name: a\n  user: &u\n    token: x\n- name: b\n  user: *u\n',
  ],
];
const WORDS = [
  ...[
    'users:',
    'clusters:',
    'contexts:',
    '- name: ',
    'user:',
    'token: ',
    'tokenFile: ',
    'password: ',
    'exec:',
    'command: ',
    'args:',
  ],
  ...[
    'client-certificate-data: ',
    'auth-provider:',
    'as-groups:',
    '--token=',
    'eyJ',
    '\n  ',
    '\n- ',
    '&x ',
    '*x',
    '<<: ',
    '---\n',
  ],
  ...['yes', '0123', 'null', "'", '"', '{}', '[]', '\r\n', '# ', '- - ', '? '],
];

function check(text: string): void {
  const [quick, whole] = [true, false].map((quickly) => inspectText('/k', text, WORLD, quickly));
  assert.deepEqual(quick?.found, whole?.found);
  assert.deepEqual(quick?.seen, whole?.seen);
  const last = text.split('\n').length;
  for (const { name, line } of quick?.found ?? []) {
    assert.ok(name in FINDINGS);
    assert.ok(line >= 1 && line <= last, `line ${line} of ${last}`);
  }
}

/** Each in turn, as --fix does it. */
function replace(text: string): void {
  let users: readonly string[];
  try {
    users = new KubeconfigText(text).entries('users').map(({ name }) => String(name));
  } catch (error) {
    if (error instanceof TextFault) return;
    throw error;
  }
  for (const user of users.slice(0, 3)) {
    const config = new KubeconfigText(text);
    try {
      config.replace('users', user, { user: { exec: { command: '/x/kubectl-curfew', args: ['get-token'] } } });
      const after = new KubeconfigText(config.toString());
      assert.deepEqual(after.find('users', user)?.user, {
        exec: { command: '/x/kubectl-curfew', args: ['get-token'] },
      });
    } catch (error) {
      if (!(error instanceof TextFault)) throw error;
    }
  }
}

export const audit: Targets = {
  kubeconfig_audit: { seeds: SEEDS, words: WORDS, run: (input) => check(textOf(input)) },
  kubeconfig_replace: { seeds: SEEDS, words: WORDS, run: (input) => replace(textOf(input)) },
};
