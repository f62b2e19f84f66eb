// `connect`: a way to a target, for one program by stdin and stdout, for a command with its surroundings, or for whoever of this user
// connects to a port.

import { CurfewError, meaning } from '../../shared/errors.ts';
import { chooseBroker } from '../host/config.ts';
import { writeWhole } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { runCommand } from '../host/run_command.ts';
import { byteStreams } from '../host/stdio.ts';
import { type Client, createClient } from '../session/client.ts';
import { dial, faultOfEnd } from '../targets/dial.ts';
import { isOver, LOOPBACK, listen } from '../targets/listener.ts';
import { passOrLogin } from '../targets/pass_or_login.ts';
import { canTellPeers } from '../targets/peer.ts';
import { makePrivateFolder } from '../targets/private_folder.ts';
import { pump } from '../targets/pump.ts';
import { environmentOf, printVariables, variablesFor } from '../targets/variables.ts';
import { oneLine } from '../warm/one_line.ts';
import { sayError } from '../warm/refusal.ts';

export interface ConnectOptions {
  readonly broker?: string;
  readonly caFile?: string;
  readonly account?: string;
  readonly stdio?: boolean;
  /** For any, 0. */
  readonly listen?: number;
  /** Gets what became of it, for whoever started what runs this. */
  readonly endFile?: string;
}

/** @returns the exit status @throws CurfewError */
export async function connectCommand(
  host: Host,
  target: string,
  command: readonly string[],
  options: ConnectOptions,
): Promise<number> {
  const ways = [options.stdio === true, options.listen !== undefined, command.length > 0].filter(Boolean);
  if (ways.length !== 1) {
    const hint = 'see: kubectl curfew connect --help';
    throw new CurfewError('usage', 'expected one of --stdio, --listen PORT, and a command behind --', { hint });
  }
  const client = createClient(host, chooseBroker(host, options.broker), options.caFile);
  const request = { target, account: options.account };
  if (options.stdio) return await byStdio(client, request, options.endFile);
  if (options.listen !== undefined) return await atPort(client, request, options.listen);
  return await forCommand(host, client, request, command);
}

type Request = { readonly target: string; readonly account?: string | undefined };

async function byStdio(client: Client, request: Request, end_file: string | undefined): Promise<number> {
  try {
    const { socket, pass } = await dial(client, { ...request, way_alone: true }, 'bystander');
    const fault = faultOfEnd(client, pass, await pump(socket, byteStreams(), pass.target.kind === 'tcp'));
    if (fault) throw fault;
    return 0;
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    if (end_file === undefined) sayAtOnce(client.host, error);
    else tell(client.host, end_file, error);
    return meaning(error.code).exit;
  }
}

/** The terminal may be in raw mode, of whoever runs this: a line goes back to its beginning. */
function sayAtOnce(host: Pick<Host, 'show' | 'terminal'>, error: CurfewError): void {
  const end = host.terminal() === 'none' ? '\n' : '\r\n';
  host.show(
    sayError(error)
      .map((line) => `curfew: ${line}${end}`)
      .join(''),
  );
}

function tell(host: Pick<Host, 'random'>, file: string, { code, message, hint }: CurfewError): void {
  try {
    writeWhole(file, JSON.stringify({ code, message, hint }), host);
  } catch {
    // Whoever wants to know finds nothing there, and goes by the exit status.
  }
}

async function atPort(client: Client, request: Request, port: number): Promise<number> {
  const { host } = client;
  const first = await passOrLogin(client, request, 'person');
  using folder = makePrivateFolder(host);
  await using listener = await listen(client, request, { port, first, told: say(host) });
  const { signal, [Symbol.dispose]: stop } = untilSignalled();
  host.print(printVariables(variablesFor(first, listener.port, folder)));
  const who = canTellPeers(host) ? `processes of this user alone (uid ${host.uid})` : 'every process of this machine';
  host.say(`${oneLine(request.target)} is at ${LOOPBACK}:${listener.port} for ${who}, until Ctrl-C`);
  try {
    const fault = await Promise.race([listener.over, signal]);
    if (fault) throw fault;
    return 0;
  } finally {
    stop();
  }
}

/** What ends a session is said by the error that ends this program. */
function say(host: Pick<Host, 'say'>): (fault: CurfewError) => void {
  return (fault) => {
    if (!isOver(fault)) host.say(oneLine(fault.message));
  };
}

function untilSignalled(): Disposable & { readonly signal: Promise<undefined> } {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const end = () => resolve(undefined);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, end);
  return {
    signal: promise,
    [Symbol.dispose]() {
      for (const signal of signals) process.off(signal, end);
    },
  };
}

async function forCommand(host: Host, client: Client, request: Request, command: readonly string[]): Promise<number> {
  const first = await passOrLogin(client, request, 'person');
  using folder = makePrivateFolder(host);
  let over: CurfewError | undefined;
  const told = (fault: CurfewError) => {
    // Once: whatever the command tries again ends in the same way.
    if (!over) sayAtOnce(host, fault);
    if (isOver(fault)) over ??= fault;
  };
  const status = await (async () => {
    await using listener = await listen(client, request, { port: 0, first, told });
    const env = environmentOf(host.env, variablesFor(first, listener.port, folder));
    return await runCommand(command, env, host.interactive);
  })();
  // Also of a connection that was cut as the command ended: it may have ended of that.
  return over ? meaning(over.code).exit : status;
}
