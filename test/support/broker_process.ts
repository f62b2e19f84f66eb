// The broker as a process of its own, from the bundle: started, watched, stopped, killed, started again on the same store.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, fetch } from 'undici';
import { buildBundles } from '../../scripts/bundle.ts';
import { adopt, signalGroup } from '../../scripts/process.ts';
import { commandOf } from './command_of.ts';
import { compileCache } from './compile_cache.ts';
import { localTime } from './local_time.ts';
import { PATIENCE_MS } from './patience.ts';

export interface BrokerOptions {
  readonly configFile: string;
  /** Where it will listen, as the config says; without it, where it says that it does. */
  readonly url?: string | undefined;
  /** PEM of the CA of its certificate. */
  readonly ca?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** How many files and sockets it may have open, when fewer than usual. */
  readonly descriptors?: number | undefined;
  /** What it is started by, such as a tracer with its options. */
  readonly by?: readonly string[] | undefined;
  /** The program, where it is another than the bundle. */
  readonly program?: string | undefined;
}

export type AuditLine = Readonly<Record<string, unknown>> & { readonly event: string };

export interface BrokerProcess {
  readonly pid: number;
  /** Where it listens, once it is ready. */
  readonly url: string;
  /** What it has put into the audit log so far, as it stands on stdout. */
  audit(): readonly AuditLine[];
  /** Its own log, as it stands on stderr. */
  log(): string;
  /** All that it wrote. */
  output(): string;
  stop(): Promise<number | null>;
  kill(): Promise<void>;
  readonly exit: Promise<number | null>;
}

/** Resolves when `/readyz` says so. @throws Error with what it wrote, when it ends instead */
export async function startBroker(options: BrokerOptions): Promise<BrokerProcess> {
  const started = await spawnBroker(options);
  await untilServing(started, options);
  return started;
}

/** It is not ready yet: see `untilServing`. */
export async function spawnBroker({
  configFile,
  url,
  env = {},
  descriptors,
  by = [],
  program: given,
}: BrokerOptions): Promise<BrokerProcess> {
  const bundle = given ?? (await buildBundles()).broker;
  const inherited = { PATH: process.env.PATH ?? '', HOME: '/nonexistent', ...localTime(), ...compileCache() };
  const command = [...by, ...commandOf(bundle), 'serve', '--config', configFile];
  const limited = ['sh', '-c', `ulimit -n ${descriptors} && exec "$0" "$@"`, ...command];
  const [program = '', ...parameters] = descriptors === undefined ? command : limited;
  const child = spawn(program, parameters, {
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  return asProcess(child, url);
}

/** @throws Error with what it wrote, when it ends instead */
export async function untilServing(started: BrokerProcess, { ca }: Pick<BrokerOptions, 'ca'>): Promise<void> {
  const over = new AbortController();
  const ended = started.exit.then((code) => {
    over.abort();
    throw new Error(`the broker ended with ${code}\n${started.output()}`);
  });
  await Promise.race([untilReady(started, ca, over.signal), ended]);
  ended.catch(() => undefined);
}

function asProcess(child: ChildProcess, url: string | undefined): BrokerProcess {
  const { pid } = child;
  if (pid === undefined) throw new Error('the broker has no pid');
  const release = adopt(pid);
  let [stdout, stderr] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const exit = once(child, 'close').then(([code]) => {
    release();
    return code as number | null;
  });
  return {
    pid,
    exit,
    get url() {
      return url ?? /^\{[^\n]*"url":"([^"]+)"[^\n]*"msg":"ready"\}$/m.exec(stderr)?.[1] ?? '';
    },
    // Of a process that was killed the last line may be torn.
    audit: () => linesOf(stdout).flatMap((line) => (line.endsWith('}') ? [JSON.parse(line) as AuditLine] : [])),
    log: () => stderr,
    output: () => stdout + stderr,
    stop() {
      child.kill('SIGTERM');
      return exit;
    },
    async kill() {
      signalGroup(pid, 'SIGKILL');
      await exit;
    },
  };
}

function linesOf(text: string): readonly string[] {
  return text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
}

async function untilReady(started: BrokerProcess, ca: string | undefined, over: AbortSignal): Promise<void> {
  const dispatcher = new Agent({ connect: { ...(ca && { ca }) } });
  const deadline = performance.now() + PATIENCE_MS;
  while (performance.now() < deadline && !over.aborted) {
    const { url } = started;
    const response = url === '' ? undefined : await fetch(`${url}/readyz`, { dispatcher }).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.ok) return dispatcher.close();
    await sleep(50);
  }
  await dispatcher.close();
  if (!over.aborted) throw new Error(`the broker at ${started.url} did not become ready in time`);
}
