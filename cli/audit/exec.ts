// An exec plugin as a kubeconfig names it: what runs, whether that was allowed, and secrets that it is given.

import { basename, isAbsolute } from 'node:path';
import { looksSecret } from '../../shared/secret_words.ts';
import { isObject } from '../../shared/wire.ts';
import { callOf } from '../kubeconfig/entries.ts';
import type { Entry } from './document.ts';
import type { Found, Seen } from './finding.ts';
import { isPlaceholder, isSecretName } from './token.ts';
import { sayCommand, sayKey, sayName } from './words.ts';
import type { World } from './world.ts';

type Exec = Readonly<Record<string, unknown>>;
type Make = (found: Omit<Found, 'entry' | 'line'>, ...path: readonly string[]) => Found;

export function execFindings(exec: Exec, entry: Entry, world: World, make: Make, seen: Seen[]): Found[] {
  const command = typeof exec.command === 'string' ? exec.command : '';
  const secrets = secretsOf(exec);
  const at = (path: readonly string[]) => ['exec', ...path];
  for (const { secret, path } of secrets)
    seen.push({ secret, line: entry.lineOf(...at(path)), entry: `user ${sayName(entry.name)}` });
  return [
    ...programFindings(command, entry, world, make),
    ...secrets.map(({ where, path }) => make({ name: 'exec_secret', detail: where }, ...at(path))),
  ];
}

function programFindings(command: string, { fields }: Entry, { allowed, exchangeable }: World, make: Make): Found[] {
  const said = sayCommand(command);
  const found: Found[] = [];
  if (/[\\/]/.test(command) && !isAbsolute(command) && !/^[A-Za-z]:[\\/]/.test(command))
    found.push(make({ name: 'exec_relative_path', detail: said }, 'exec', 'command'));
  else if (!/[\\/]/.test(command)) found.push(make({ name: 'exec_by_name', detail: said }, 'exec', 'command'));
  else {
    const fault = exchangeable(command);
    if (fault !== undefined) found.push(make({ name: 'exec_writable', detail: fault }, 'exec', 'command'));
  }
  // Ours is what is wanted; where a list is in force, it too must be on it.
  const ours = callOf(fields) !== undefined && /^kubectl-curfew(?:\.exe|\.cmd)?$/.test(basename(command));
  if (!allowed.has(command) && !(ours && isAbsolute(command) && allowed.policy === 'AllowAll')) {
    const detail = `${said} (${allowed.policy === 'AllowAll' ? 'kuberc allows all' : `kuberc: ${allowed.policy}`})`;
    found.push(make({ name: 'exec_not_allowlisted', detail }, 'exec', 'command'));
  }
  return found;
}

interface Given {
  readonly secret: string;
  /** In words, without the secret. */
  readonly where: string;
  readonly path: readonly string[];
}

function secretsOf({ args, env }: Exec): Given[] {
  const words = (Array.isArray(args) ? args : []).map(String);
  return [...words.flatMap((word, i) => inArgument(word, words[i + 1], i)), ...variables(env)];
}

function inArgument(word: string, next: string | undefined, i: number): Given[] {
  const [, flag, joined] = /^--?([A-Za-z][\w.-]*)(?:=([\s\S]*))?$/.exec(word) ?? [];
  if (flag !== undefined && isSecretName(flag)) {
    const value = joined ?? (next !== undefined && !next.startsWith('-') ? next : undefined);
    if (value === undefined || isPlaceholder(value) || /^(?:true|false)$/.test(value)) return [];
    const path = ['args', String(joined === undefined ? i + 1 : i)];
    return [{ secret: value, where: `the argument --${flag}`, path }];
  }
  return looksSecret(word) ? [{ secret: word, where: `argument ${i + 1}`, path: ['args', String(i)] }] : [];
}

function variables(env: unknown): Given[] {
  return (Array.isArray(env) ? env : []).flatMap((one: unknown, i): Given[] => {
    const [name, value] = isObject(one) ? [String(one.name ?? ''), String(one.value ?? '')] : ['', ''];
    if (isPlaceholder(value) || !(isSecretName(name) || looksSecret(value))) return [];
    return [{ secret: value, where: `the variable ${sayKey(name)}`, path: ['env', String(i)] }];
  });
}
