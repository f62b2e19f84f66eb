// Secrets where kubectl reads none: fields that it does not know, extensions, comments.

import { looksSecret } from '../../shared/secret_words.ts';
import type { Part } from './document.ts';
import type { Found, Seen } from './finding.ts';
import { isPlaceholder, isSecretName } from './token.ts';
import { sayKey, sayName } from './words.ts';

/** As client-go's types have them (clientcmd/api/v1): whatever else is there, nobody reads. */
const KNOWN = {
  clusters: [
    ...['server', 'tls-server-name', 'insecure-skip-tls-verify', 'certificate-authority', 'certificate-authority-data'],
    ...['proxy-url', 'disable-compression'],
  ],
  users: [
    ...['client-certificate', 'client-certificate-data', 'client-key', 'client-key-data', 'token', 'tokenFile'],
    ...['as', 'as-uid', 'as-groups', 'as-user-extra', 'username', 'password', 'auth-provider', 'exec'],
  ],
  contexts: ['cluster', 'user', 'namespace'],
} as const;

export function strayFindings({ entries, more, lineOf }: Part, seen: Seen[]): Found[] {
  const found: Found[] = [];
  const look = (value: unknown, name: string, path: readonly string[], line: () => number, entry?: string) => {
    for (const secret of secretsWithin(value, name)) {
      found.push({
        name: 'secret_elsewhere',
        line: line(),
        entry,
        detail: path.map(sayKey).join('.'),
      });
      seen.push({ secret, line: line(), entry: entry ?? path.map(sayKey).join('.') });
      return;
    }
  };
  for (const [key, value] of Object.entries(more)) look(value, key, [key], () => lineOf(key));
  for (const entry of entries) {
    const known: readonly string[] = KNOWN[entry.list];
    const said = `${entry.list.slice(0, -1)} ${sayName(entry.name)}`;
    for (const [key, value] of Object.entries(entry.fields))
      if (!known.includes(key)) look(value, key, [key], () => entry.lineOf(key), said);
    for (const [key, value] of Object.entries(entry.more)) look(value, key, [key], () => entry.lineBeside(key), said);
  }
  return found;
}

function* secretsWithin(value: unknown, name: string): Generator<string> {
  if (GLUED.test(name) || looksSecret(name)) yield name;
  if (typeof value === 'string') {
    if (!isPlaceholder(value) && (isSecretName(name) || looksSecret(value) || GLUED.test(value))) yield value;
    return;
  }
  if (typeof value === 'object' && value !== null)
    for (const [key, inner] of Object.entries(value)) yield* secretsWithin(inner, key);
}

/** Where a colon is missing its space, name and secret are one text. */
const GLUED = /(?:token|password|secret|key-data)[:=]\S{6,}/i;

/** A name and what it is given; looked for once at each word, however long a line is. */
const NAMED = /(?<![\w.-])([\w.-]{1,64})["']?\s{0,8}[:=]\s{0,8}["']?([^\s"'#,]{6,})/;

/** Of each line with a comment, by what it looks like; whoever comments an entry out keeps its secret. */
export function commentFindings(text: string): Found[] {
  if (!text.includes('#')) return [];
  return text.split('\n').flatMap((line, i): Found[] => {
    const [, comment] = /(?:^|\s)#(.*)$/.exec(line) ?? [];
    if (comment === undefined) return [];
    const [, name = '', value = ''] = NAMED.exec(comment) ?? [];
    if (!looksSecret(comment) && !(isSecretName(name) && !isPlaceholder(value.replace(/:+$/, '')))) return [];
    return [{ name: 'secret_in_comment', line: i + 1, detail: isSecretName(name) ? name : 'a token or a key' }];
  });
}
