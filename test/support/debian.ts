// Which of the Debian packages that tests need are not on this machine.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/**
 * @param list one package a line, `#` for comments
 * @returns the names that are not installed; none where there is no dpkg to ask
 */
export function missingPackages(list: string): string[] {
  const names = list.split('\n').flatMap((line) => line.replace(/#.*/, '').trim() || []);
  if (names.length === 0) throw new Error('the list of Debian packages is empty');
  if (!existsSync('/usr/bin/dpkg-query')) return [];
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f=${Package} ${db:Status-Status}\n', ...names], {
    encoding: 'utf8',
  });
  const installed = new Set(
    stdout
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  );
  return names.filter((name) => !installed.has(name));
}
