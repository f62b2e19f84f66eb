// curfew-gateway: the commands. Clocks, environment and streams are made here and passed on.

import { Command, CommanderError } from 'commander';
import { pino } from 'pino';
import { CurfewError, EXIT, meaning } from '../shared/errors.ts';
import { check } from './check.ts';
import { loadSettings } from './config/load.ts';
import about from './package.json' with { type: 'json' };
import { startGateway } from './serve.ts';

const elapsed = () => performance.now();
const wall = () => Date.now();
const { stdout, stderr } = process;
const log = pino({ level: 'info', base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination(2));

interface Options {
  readonly config: string;
}

async function serve({ config }: Options): Promise<void> {
  // A terminal that goes away, or whoever means a reload, does not end what people have open.
  process.on('SIGHUP', () => log.info('settings are read at the start alone, certificates whenever they change'));
  const gateway = await startGateway(await loadSettings(config), { version: about.version, elapsed, wall, log });
  const signal = await firstOf('SIGTERM', 'SIGINT');
  // A second signal is a person who cannot wait.
  for (const again of ['SIGTERM', 'SIGINT'] as const) process.once(again, () => process.exit(EXIT.software));
  log.info({ signal }, 'signal received');
  await gateway.stop();
}

function firstOf(...signals: readonly NodeJS.Signals[]): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of signals) process.once(signal, () => resolve(signal));
  });
}

async function checkConfig({ config }: Options): Promise<void> {
  const { lines, exit } = await check(await loadSettings(config), elapsed);
  stdout.write(lines.map((line) => `${line}\n`).join(''));
  process.exitCode = exit;
}

function program(): Command {
  const root = new Command('curfew-gateway')
    .description('stands before kube-apiserver and cuts what is open when its session is over')
    .version(about.version, '--version', 'print the version')
    .exitOverride()
    .configureOutput({ writeErr: () => undefined, outputError: () => undefined });
  root
    .command('serve')
    .description('run the gateway')
    .requiredOption('--config <file>', 'its configuration')
    .action(serve);
  root
    .command('check')
    .description('check a configuration, the broker and the API server, without starting')
    .requiredOption('--config <file>', 'the configuration')
    .action(checkConfig);
  return root;
}

/** One error line and one hint line; what is not ours to explain is our bug. */
function fail(error: unknown): void {
  const failure =
    error instanceof CurfewError
      ? error
      : error instanceof CommanderError
        ? new CurfewError('usage', sayUsage(error), { hint: 'see curfew-gateway --help' })
        : new CurfewError('internal', `unexpected ${error instanceof Error ? error.name : 'error'}`, { cause: error });
  stderr.write(`curfew: error: ${failure.message}\ncurfew: hint: ${failure.hint}\n`);
  process.exitCode = meaning(failure.code).exit;
}

function sayUsage({ code, message }: CommanderError): string {
  return code === 'commander.help' ? 'no command was given' : message.replace(/^error: /, '');
}

program()
  .parseAsync()
  .catch((error: unknown) => {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    fail(error);
  });
