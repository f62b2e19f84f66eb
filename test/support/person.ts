// Somebody with a machine of their own: home, kubeconfig, browser, and the plugin as shipped.

import { cp, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { buildBundles } from '../../scripts/bundle.ts';
import { buildNative } from '../../scripts/native/build.ts';
import { type RunResult, run } from '../../scripts/run.ts';
import { type Browser, type BrowserSettings, makeBrowser } from './browser.ts';
import { commandOf } from './command_of.ts';
import { localTime } from './local_time.ts';
import { type Pty, runInPty } from './pty.ts';

type Env = Readonly<Record<string, string>>;

export interface PersonOptions {
  readonly dir: string;
  readonly brokerUrl: string;
  /** Of the broker's certificate. */
  readonly caFile: string;
  readonly kubectl: string;
  readonly browser: BrowserSettings;
  /** A package without the native program, as on a platform that has none: kubectl runs Node.js. */
  readonly nodeOnly?: boolean | undefined;
  /** Another plugin than today's: of an earlier release, to be run by Node.js alone, or as it is installed from a package. */
  readonly program?: string | undefined;
  /** Takes a line instead of a failure where the native program cannot be built: everything works without it, slower. */
  readonly withoutNative?: ((line: string) => void) | undefined;
}

interface CallOptions {
  readonly env?: Env;
  readonly input?: string;
  readonly timeout?: number;
}

export interface Person {
  readonly dir: string;
  readonly env: Env;
  readonly browser: Browser;
  /** `kubectl-curfew setup` for this world's broker. */
  setup(...more: readonly string[]): Promise<RunResult>;
  curfew(args: readonly string[], options?: CallOptions): Promise<RunResult>;
  kubectl(args: readonly string[], options?: CallOptions): Promise<RunResult>;
  /** The same at a terminal. */
  kubectlAtTerminal(...args: readonly string[]): Pty;
  curfewAtTerminal(...args: readonly string[]): Pty;
}

/** @param options `dir` is made, and everything of the person goes there */
export async function makePerson({
  dir,
  brokerUrl,
  caFile,
  kubectl,
  browser: settings,
  nodeOnly = false,
  program,
  withoutNative,
}: PersonOptions): Promise<Person> {
  const [bin, runtime, tabs] = ['bin', 'run', 'browser'].map((name) => path.join(dir, name)) as [
    string,
    string,
    string,
  ];
  for (const folder of [bin, runtime, tabs]) await mkdir(folder, { recursive: true, mode: 0o700 });
  const bundles = await buildBundles();
  const cli = program ?? (nodeOnly ? await copyWithoutNative(bundles.cli, path.join(dir, 'package')) : bundles.cli);
  if (!nodeOnly && program === undefined) {
    await buildNative().catch((error: unknown) => {
      if (!withoutNative || !(error instanceof Error)) throw error;
      withoutNative(`going on without the native program: ${error.message.split('\n', 1)[0]}`);
    });
  }
  // On the PATH, so that `kubectl curfew` finds its plugin as it does on a person's machine.
  const [command, ...words] = commandOf(cli);
  await writeLauncher(path.join(bin, 'kubectl-curfew'), [command, ...words]);
  await writeLauncher(path.join(bin, 'kubectl'), [kubectl]);
  const browser = makeBrowser(tabs, settings);
  const env = {
    PATH: `${bin}:${process.env.PATH ?? ''}`,
    ...localTime(),
    HOME: dir,
    TERM: 'xterm-256color',
    XDG_RUNTIME_DIR: runtime,
    KUBECONFIG: path.join(dir, 'kubeconfig'),
    CURFEW_CONFIG_DIR: path.join(dir, 'config'),
    CURFEW_CACHE_DIR: path.join(dir, 'cache'),
    BROWSER: browser.command,
  };
  const curfew: Person['curfew'] = (args, { env: more, ...options } = {}) =>
    run(command, [...words, ...args], { env: { ...env, ...more }, ...options });
  return {
    ...{ dir, env, browser, curfew },
    setup: (...more) => curfew(['setup', '--broker', brokerUrl, '--ca-file', caFile, ...more]),
    kubectl: (args, { env: more, ...options } = {}) => run(kubectl, args, { env: { ...env, ...more }, ...options }),
    kubectlAtTerminal: (...args) => runInPty(kubectl, args, { env, cols: 200 }),
    curfewAtTerminal: (...args) => runInPty(command, [...words, ...args], { env, cols: 200 }),
  };
}

/** @returns the plugin in `folder` */
async function copyWithoutNative(cli: string, folder: string): Promise<string> {
  const native = path.join(path.dirname(cli), 'native');
  await cp(path.dirname(cli), folder, { recursive: true, filter: (file) => file !== native });
  return path.join(folder, path.basename(cli));
}

async function writeLauncher(file: string, command: readonly string[]): Promise<void> {
  const words = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  await writeFile(file, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
}
