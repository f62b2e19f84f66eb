// The sources of truth that documents are compared with: commands, settings, environment, test names.

import { globSync } from 'node:fs';
import { z } from 'zod';
import { parseSections, SECTION_NAMES } from '../../broker/config/schema.ts';
import { CLUSTER_SCHEMA, TARGETS_SCHEMA } from '../../gateway/config/load.ts';
import { type HelpedCommand, helpOf } from '../../scripts/release/help.ts';
import { ROOT, read } from './documents.ts';

/** Every command of a program that does something, as typed, with its long flags; from what `--help` says. */
export async function commandsOf(program: string, words: readonly string[]): Promise<Map<string, string[]>> {
  return flagsOf(await helpOf(program, words));
}

/** The same of what it said already. */
export function flagsOf({ words, options, commands }: HelpedCommand): Map<string, string[]> {
  if (commands.length > 0) return new Map(commands.flatMap((command) => [...flagsOf(command)]));
  const flags = options.flatMap(({ name }) => /^(?:-\w, )?(--[\w-]+)/.exec(name)?.[1] ?? []);
  return new Map([[words.join(' '), flags.filter((flag) => flag !== '--help')]]);
}

/** The path of every single setting: the schema reads what it knows of anything, and then names what is wrong with it. */
export function settingPaths(): string[] {
  const lists: readonly string[] = [
    'clusters',
    'policy.segments',
    'policy.rules',
    'hooks',
    'ssf',
    'clusters[].service_accounts',
    'targets',
    'targets[].accounts',
  ];
  // A key that belongs nowhere: where keys are free (labels) it is the fault that names the setting.
  const stray = '\0';
  const anything = (at: string): unknown => {
    if (lists.includes(at)) return [anything(`${at}[]`)];
    return new Proxy(
      { [stray]: 1 },
      { get: (_, key) => anything(`${at}.${String(key)}`), has: () => true, ownKeys: () => [stray] },
    );
  };
  const { faults } = parseSections(Object.fromEntries(SECTION_NAMES.map((name) => [name, anything(name)])));
  const named = faults.filter((fault) => !fault.endsWith(': unknown setting'));
  return named.map((fault) => (fault.split(': ', 1)[0] ?? '').replaceAll('[0]', '[]'));
}

/** The same of the gateway's: before a cluster, and before targets. */
export function gatewaySettingPaths(): string[] {
  return [...new Set([CLUSTER_SCHEMA, TARGETS_SCHEMA].flatMap((schema) => pathsOf(schema)))];
}

function pathsOf(schema: unknown, at = ''): string[] {
  if (schema instanceof z.ZodOptional) return pathsOf(schema.unwrap(), at);
  if (!(schema instanceof z.ZodObject)) return [at];
  return Object.entries(schema.shape).flatMap(([name, inner]) => pathsOf(inner, at === '' ? name : `${at}.${name}`));
}

/** Names of settings that are refused as not available yet. */
export function settingsNotAvailable(): string[] {
  const [, body = ''] = /NOT_AVAILABLE[^[]*\[([^\]]*)\]/.exec(read('broker/config/faults.ts')) ?? [];
  return [...body.matchAll(/'([^']+)'/g)].map(([, name = '']) => name.replaceAll('.*', '[]'));
}

/** Files of a room, without what is installed or built. */
export function filesOf(...rooms: readonly string[]): string[] {
  const files = rooms.flatMap((room) => globSync(`${room}/**/*.ts`, { cwd: ROOT }));
  return files.filter((file) => !/(^|\/)(node_modules|dist)\//.test(file)).sort();
}

/** Environment variables that the programs read, and those of our own that demo, tests and bench read. */
export function environmentVariables(): string[] {
  const names = (file: string) => {
    const text = read(file);
    const direct = [...text.matchAll(/\benv\.([A-Z][A-Z0-9_]+|container\b)/g)].map(([, name = '']) => name);
    const taken = [...text.matchAll(/\{([^{}]*)\} = (?:process\.)?env\b/g)].flatMap(
      ([, list = '']) => list.match(/\b[A-Z][A-Z0-9_]+\b/g) ?? [],
    );
    // By the name in capitals; each in small letters as well.
    const proxies = [...text.matchAll(/\bfirstOf\(env, '([A-Z_]+)'/g)].map(([, name = '']) => name);
    return [...direct, ...taken, ...proxies];
  };
  const ours = filesOf('test', 'scripts')
    .flatMap(names)
    .filter((name) => name.startsWith('CURFEW_'));
  return [...new Set([...filesOf('cli', 'broker', 'gateway', 'serving', 'shared').flatMap(names), ...ours])].sort();
}
