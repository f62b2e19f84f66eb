// Kubeconfigs that say something odd: read or refused with words, and never taken for something else.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KubeconfigText } from '../../cli/kubeconfig/text.ts';
import { TextFault } from '../../cli/kubeconfig/yaml.ts';
import { scanKubeconfig } from '../../cli/warm/kubeconfig_scan.ts';

const withOurs = (text: string): string => {
  const config = new KubeconfigText(text);
  config.set('users', 'curfew', { user: { token: 'new' } });
  return config.toString();
};

test('what has no value, as an alias of nothing does, is refused with words', () => {
  for (const text of ['<<: ', 'users: *a\n', ': *a', 'contexts: []\n<<: [1]\n'])
    assert.throws(() => withOurs(text), TextFault, text);
});

test('a change that would put something where a list belongs is refused with words', () => {
  assert.throws(() => withOurs('&a contexts:'), TextFault);
});

test('an entry that is changed says afterwards what it was to say, whatever it said before', () => {
  const inFlow = new KubeconfigText(withOurs('{"users":[{"name":"curfew",r:{t}}]}')).find('users', 'curfew');
  assert.deepEqual(inFlow?.user, { token: 'new' });
  for (const user of ['{token: old}', '[]', '"old"', '']) {
    const after = withOurs(`users:\n- name: curfew\n  user: ${user}\n`);
    const expected = { name: 'curfew', user: { token: 'new' } };
    assert.deepEqual(new KubeconfigText(after).find('users', 'curfew'), expected, user);
  }
});

test('white space that YAML does not have is left by the reader of the prompt to the one that knows all of YAML', () => {
  for (const odd of ['\v', '\f', '\u00a0', '\u2028', '\ufeff', '\u0085', '\x1f', '\x7f']) {
    assert.equal(scanKubeconfig(`current-context: dev${odd}\n`), undefined, JSON.stringify(odd));
    assert.equal(scanKubeconfig(`current-context: dev\n${odd}\n`), undefined, JSON.stringify(odd));
  }
  assert.equal(scanKubeconfig('current-context: dev\n\r'), undefined, 'a carriage return alone');
  assert.deepEqual(scanKubeconfig('current-context: dev  \r\n  \r\n'), { 'current-context': 'dev' });
});

test('what cannot be read is said by code and place, and nothing of it is quoted', () => {
  for (const text of [
    'users:\n- name: a\n  user:\n    token: *CANARY\n',
    'users:\n- name: a\n  user: {token: "CANARY\\q"}\n',
    'users:\n- name: a\n  user:\n    token: CANARY\n  CANARY\n',
    'users: [{token: CANARY\n',
    'users: [a]\nCANARY CANARY: [\n',
    '{"users": [{"token": "CANARY" "x"}]}\n',
    'users: &CANARY [*CANARY]\n',
    'x: {<<: CANARY}\n',
    '%CANARY x\n---\n} CANARY\n',
  ]) {
    let fault: unknown;
    try {
      void new KubeconfigText(text).value;
    } catch (error) {
      fault = error;
    }
    if (fault !== undefined) assert.ok(fault instanceof TextFault, text);
    assert.doesNotMatch(fault instanceof Error ? fault.message : '', /CANARY/, text);
  }
  assert.throws(() => new KubeconfigText('a: *CANARY'), {
    message: /^: (?:not YAML that kubectl reads \(\w+\) at line 1|an alias)/,
  });
});

test('what is a part of itself is refused with words', () => {
  for (const text of ['users:\n- name: a\n  x: &u\n    y: *u\n', 'users: &u\n- *u\n', 'x: &u\n  y: *u\nusers: []\n'])
    assert.throws(() => withOurs(text), TextFault, text);
});

test('what is within itself thousands of times is refused with words, by each reader', () => {
  for (const text of [`${'- '.repeat(200_000)}x`, `${'{a: '.repeat(50_000)}`, `x: ${'['.repeat(50_000)}`]) {
    assert.throws(() => new KubeconfigText(text), TextFault);
    assert.equal(scanKubeconfig(text), undefined);
  }
});
