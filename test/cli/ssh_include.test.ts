// The line of ours in ~/.ssh/config: put first, once, taken away, and nothing else changed, whatever the file is.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { requirePlainPath, requirePlainWord } from '../../cli/ssh/files.ts';
import { includeLine, placeOf, withInclude, withoutInclude } from '../../cli/ssh/include.ts';
import { proxyCommand } from '../../cli/ssh/options.ts';
import { run } from '../../scripts/run.ts';
import { CurfewError } from '../../shared/errors.ts';

const LINE = includeLine('/home/a/.config/curfew/ssh');
const lines = fc.constantFrom(
  '',
  'Host a',
  '  User b',
  '# c',
  '\tMatch all',
  'Include other',
  'ServerAliveInterval 5',
  'Höst',
);
const texts = fc
  .tuple(fc.array(lines), fc.constantFrom('\n', '\r\n'), fc.boolean())
  .map(([list, end, last]) => list.join(end) + (last ? end : ''));

describe('the line in ~/.ssh/config', () => {
  it('is before all else, once, and gone again to the byte', () => {
    fc.assert(
      fc.property(texts, (text) => {
        const written = withInclude(text, LINE);
        assert.equal(placeOf(written, LINE), 'first');
        assert.ok(written.startsWith(`${LINE}\n`) || written.startsWith(`${LINE}\r\n`));
        assert.equal(withInclude(written, LINE), written);
        assert.equal(withoutInclude(written, LINE), text);
        assert.equal(withoutInclude(text, LINE), text);
      }),
    );
  });

  it('is put before where it stood behind a Host or Match, of which alone it would be', () => {
    const late = `Host a\n${LINE}\n  User b\n`;
    assert.equal(placeOf(late, LINE), 'late');
    assert.equal(withInclude(late, LINE), `${LINE}\nHost a\n  User b\n`);
    const after = `# mine\nAddKeysToAgent yes\n${LINE}\n`;
    assert.equal(withInclude(after, LINE), after);
  });
});

describe('what ssh is told', () => {
  it('refuses paths that ssh or a shell would understand otherwise', () => {
    for (const path of ['/a b/c', '/home/ä/c', '/x-_.,:@']) requirePlainPath(path);
    for (const path of ['/a"b', "/a'b", '/a\\b', '/a$b', '/a`b', '/a\nb', '/a%h', '/a*', '/a?', '/a[b'])
      assert.throws(
        () => requirePlainPath(path),
        (error) => error instanceof CurfewError && error.code === 'configuration',
        path,
      );
    requirePlainWord('https://a/%41');
  });

  it('gives each word of a command to a shell as it is, past the tokens of ssh', async () => {
    const words = ['printf', '%s|', 'a b', "it's", '$HOME', '%h', '*', ''];
    // ssh makes one of each two.
    const seen = proxyCommand(words).replaceAll('%%', '%');
    assert.doesNotMatch(proxyCommand(words).replaceAll('%%', ''), /%/);
    assert.equal((await run('sh', ['-c', `exec ${seen}`])).stdout, "a b|it's|$HOME|%h|*||");
  });
});
