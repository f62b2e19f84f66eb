// The prompt's reader of kubeconfigs against one that knows all of YAML: what it reads it reads alike, and the rest it leaves.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { KubeconfigText } from '../../cli/kubeconfig/text.ts';
import { ReadKubeconfig, scanKubeconfig } from '../../cli/warm/kubeconfig_scan.ts';
import { ODD_WORDS } from './odd_words.ts';

/** All that the prompt asks. */
function answersOf(value: unknown, names: readonly string[]): unknown {
  const config = new ReadKubeconfig(value);
  return [config.currentContext, ...names.map((name) => [config.userOf(name), config.argumentsOf(name)])];
}

const ARGS = ['get-token', '--broker', 'https://curfew.example', '--cluster', 'dev'];
const whole = (current: string, more = '') => `apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://a
  name: dev
contexts:
- context: {}
  name: other
- context:
    cluster: dev
    user: dev
  name: dev
${current}
preferences: {}
users:
- name: dev
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      args:
${ARGS.map((word) => `      - ${word}\n`).join('')}      command: /x/kubectl-curfew
      env: null
${more}`;

describe('the prompt reads a kubeconfig', () => {
  it('as kubectl, setup and people write it', () => {
    for (const [what, text] of [
      ['plain', whole('current-context: dev')],
      ['quoted', whole('current-context: "dev"')],
      ['in single quotes, with a comment', whole("current-context: 'dev' # mine")],
      ['with a comment', whole('current-context: dev   # mine')],
      ['with CRLF', whole('current-context: dev').replaceAll('\n', '\r\n')],
      ['after a mark', `\ufeff${whole('current-context: dev')}`],
      ['with blank lines and comments', whole('\n# x\n\ncurrent-context: dev\n   # y\n')],
      ['after ---', `---\n${whole('current-context: dev')}`],
      ['with further documents', `${whole('current-context: dev')}---\n&anchor {[: not read\n`],
      ['with indented lists', whole('current-context: dev').replace(/^ {6}- (.*)$/gm, '        - $1')],
      ['without a line end', whole('current-context: dev').trimEnd()],
      ['as JSON', JSON.stringify(new KubeconfigText(whole('current-context: dev')).value)],
      ['as JSON in lines', JSON.stringify(new KubeconfigText(whole('current-context: dev')).value, null, 2)],
    ] as const) {
      const value = scanKubeconfig(text);
      assert.deepEqual(
        answersOf(value, ['dev', 'other', 'gone']),
        [...['dev', ['dev', ARGS], ['', undefined], [undefined, undefined]]],
        what,
      );
    }
  });

  it('and leaves what is unusual to the reader that knows all of YAML', () => {
    for (const [what, text] of [
      ['an empty first document', `---\n---\n${whole('current-context: dev')}`],
      ['one with a comment', `# x\n---\n\n# y\n--- \n${whole('current-context: dev')}`],
      ['one that ends at once', `...\n${whole('current-context: dev')}`],
      ['an anchor', whole('current-context: &a dev')],
      ['a byte order mark behind ---', `---\ufeff\n${whole('current-context: dev')}`],
      ['a no-break space behind ---', `---\u00a0\n${whole('current-context: dev')}`],
      ['a lone CR in front of JSON', `\r${JSON.stringify(new KubeconfigText(whole('current-context: dev')).value)}`],
      ['a tab behind ...', `${whole('current-context: dev')}...\t\nx`],
      ['an alias', whole('x: &a dev\ncurrent-context: *a')],
      ['a tag', whole('current-context: !!str dev')],
      ['a key in quotes', whole('"current-context": dev')],
      ['a question mark', whole('? current-context\n: dev')],
      ['a space before the colon', whole('current-context : dev')],
      ['a value on the next line', whole('current-context:\n  dev')],
      ['a value of several lines', whole('current-context: dev\n  or so')],
      ['a folded value', whole('current-context: >-\n  dev')],
      ['quotes left open', whole('current-context: "de\n  v"')],
      ['an escape that JSON does not have', whole('current-context: "\\x64ev"')],
      ['braces', whole('current-context: dev\nx: {a: b}')],
      ['a map in braces', '{apiVersion: v1, current-context: dev}'],
      ['tabs', whole('current-context:\tdev')],
      ['a key twice', whole('current-context: dev\ncurrent-context: prod')],
      ['a merge', whole('current-context: dev', '  <<: {}\n')],
      ['a directive', `%YAML 1.2\n---\n${whole('current-context: dev')}`],
      ['UTF-16 read as UTF-8', Buffer.from(`\ufeff${whole('current-context: dev')}`, 'utf16le').toString('utf8')],
      ['a number', whole('current-context: 0123')],
      ['a list of lists', 'contexts:\n- - a\n  - b: [\n'],
      ['JSON cut short', '{"current-context": "dev"'],
      ['a text', 'hello\n'],
    ] as const) {
      assert.equal(scanKubeconfig(text), undefined, what);
    }
  });

  it('alike, whatever is written there, or not at all', () => {
    const word = fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom('dev', 'prod', 'a b', "it's", 'x-y') },
      fc.constantFrom(...ODD_WORDS),
      fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme-ascii' }),
    );
    const file = fc
      .record({
        'current-context': fc.option(word, { nil: undefined }),
        contexts: fc.array(
          fc.record({ name: word, context: fc.record({ cluster: word, user: word }, { requiredKeys: [] }) }),
          { maxLength: 3 },
        ),
        users: fc.array(
          fc.record({
            name: word,
            user: fc.oneof(
              fc.record({ token: word }),
              fc.record({ exec: fc.record({ command: word, args: fc.array(word, { maxLength: 4 }) }) }),
            ),
          }),
          { maxLength: 3 },
        ),
        x: fc.constantFrom(undefined, undefined, undefined, undefined, true, 12, { deep: [{ er: 'x' }, []] }, 'a\nb\n'),
      })
      .chain((config) =>
        fc.record({
          names: fc.constant([...config.contexts, ...config.users].map(({ name }) => name)),
          text: fc.constantFrom(
            ...[true, false].flatMap((indentSeq) =>
              (['PLAIN', 'QUOTE_DOUBLE', 'QUOTE_SINGLE'] as const).map((defaultStringType) =>
                stringify(config, { version: '1.1', lineWidth: 0, indentSeq, defaultStringType }),
              ),
            ),
          ),
          edit: fc.option(
            fc.record({
              at: fc.nat({ max: 300 }),
              put: fc.constantFrom(' ', '\n', '- ', '#', '"', "'", ': ', '{', '&a ', 'x'),
            }),
            { nil: undefined, freq: 1 },
          ),
        }),
      );
    let read = 0;
    fc.assert(
      fc.property(file, ({ names, text, edit }) => {
        const written = edit ? text.slice(0, edit.at) + edit.put + text.slice(edit.at) : text;
        const value = scanKubeconfig(written);
        if (value === undefined) return;
        read++;
        let other: unknown;
        try {
          other = new KubeconfigText(written).value;
        } catch {
          // kubectl shows its own error then.
          return;
        }
        assert.deepEqual(answersOf(value, names), answersOf(other, names), written);
      }),
      { numRuns: 800 },
    );
    assert.ok(read > 100, `${read} were read`);
  });
});
