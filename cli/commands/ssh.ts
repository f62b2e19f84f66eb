// `ssh` runs the machine's own ssh for a target; `ssh-ready` makes ready what ssh needs, where its configuration asks for it.

import { existsSync } from 'node:fs';
import { CurfewError, isCode, meaning } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import { isObject, isText } from '../../shared/wire.ts';
import { chooseBroker } from '../host/config.ts';
import type { Host } from '../host/host.ts';
import { launcherOf } from '../host/launcher.ts';
import { runCommand } from '../host/run_command.ts';
import { type Client, createClient } from '../session/client.ts';
import { asArguments } from '../ssh/options.ts';
import { makeSshReady, writeIncluded } from '../ssh/ready.ts';
import { makePrivateFolder } from '../targets/private_folder.ts';
import { readOurs } from '../warm/read_cache.ts';

export interface SshCommandOptions {
  readonly broker?: string | undefined;
  readonly caFile?: string | undefined;
  readonly account?: string | undefined;
}

/** What `ssh` says of itself where the connection, and not the command there, failed. */
const SSH_FAILED = 255;

/** @param words for ssh, behind the name of the target @returns the exit status @throws CurfewError */
export async function sshCommand(
  host: Host,
  target: string,
  words: readonly string[],
  options: SshCommandOptions,
): Promise<number> {
  const own = ownOptions(words);
  const { broker, caFile, account } = { ...options, ...own.options };
  const client = createClient(host, chooseBroker(host, broker), caFile);
  using folder = makePrivateFolder(host);
  const end_file = `${folder.path}/end`;
  const proxy = [...programWords(host), ...proxyWords(client, target, { account, caFile }), '--end-file', end_file];
  const { options: told } = await makeSshReady(
    client,
    { target, account, proxy },
    host.interactive ? 'person' : 'bystander',
  );
  const status = await runCommand(['ssh', ...asArguments(told), target, ...own.rest], envOf(host), host.interactive);
  const end = status === SSH_FAILED ? endIn(host, end_file) : undefined;
  if (end) throw end;
  return status;
}

/** For ssh_config's `Match exec`: silent where all is well. @throws CurfewError */
export async function sshReadyCommand(
  host: Host,
  target: string,
  { broker, caFile }: SshCommandOptions,
): Promise<void> {
  const client = createClient(host, chooseBroker(host, broker), caFile);
  const launcher = existsSync(launcherOf(host)) ? [launcherOf(host)] : programWords(host);
  const proxy = [...sameFolders(host), ...launcher, ...proxyWords(client, target, { caFile })];
  writeIncluded(client, await makeSshReady(client, { target, proxy }, 'bystander'));
}

/** Whoever includes this may have said by the environment where our folders are; ssh itself does not pass that on. */
function sameFolders({ env }: Pick<Host, 'env'>): readonly string[] {
  const { CURFEW_CACHE_DIR, CURFEW_CONFIG_DIR } = env;
  const set = Object.entries({ CURFEW_CACHE_DIR, CURFEW_CONFIG_DIR });
  const words = set.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  return words.length === 0 ? [] : ['env', ...words];
}

/** This program, as it runs now. */
function programWords({ node, bundles }: Pick<Host, 'bundles' | 'node'>): readonly string[] {
  return [node, `${bundles}/kubectl-curfew.cjs`];
}

function proxyWords(
  { url }: Pick<Client, 'url'>,
  target: string,
  { account, caFile }: Pick<SshCommandOptions, 'account' | 'caFile'>,
): readonly string[] {
  return [
    ...['connect', target, '--stdio', '--broker', url],
    ...(account === undefined ? [] : ['--account', account]),
    ...(caFile === undefined ? [] : ['--ca-file', caFile]),
  ];
}

function envOf({ env }: Pick<Host, 'env'>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
  );
}

const OWN = { '--account': 'account', '--broker': 'broker', '--ca-file': 'caFile' } as const;

/** Ours may come behind the target's name too; ssh has no flags of two dashes. */
function ownOptions(words: readonly string[]): {
  readonly options: SshCommandOptions;
  readonly rest: readonly string[];
} {
  const options: { -readonly [K in keyof SshCommandOptions]: SshCommandOptions[K] } = {};
  let rest = words;
  for (;;) {
    const [, flag = '', joined] = /^(--[a-z-]+)(?:=(.*))?$/s.exec(rest[0] ?? '') ?? [];
    const name = Object.entries(OWN).find(([one]) => one === flag)?.[1];
    if (name === undefined) return { options, rest };
    const value = joined ?? rest[1];
    if (value === undefined)
      throw new CurfewError('usage', `${flag} needs a value`, { hint: 'see: kubectl curfew ssh --help' });
    options[name] = value;
    rest = rest.slice(joined === undefined ? 2 : 1);
  }
}

/** What the connection ended of, by the word of whoever carried it. */
function endIn(host: Host, file: string): CurfewError | undefined {
  const content = readOurs(host, file)?.content;
  const value = content === undefined ? undefined : parseJson(content);
  if (!isObject(value) || !isCode(value.code) || !isText(value.message)) return undefined;
  const { code, message, hint } = value;
  return new CurfewError(code, message, { hint: isText(hint) ? hint : meaning(code).hint });
}
