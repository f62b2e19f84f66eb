// curfew-gateway: the commands. Clocks, environment and streams are made here and passed on.

import { Command } from 'commander';
import { pino } from 'pino';
import { endingSignal, runProgram } from '../serving/program.ts';
import { check } from './check.ts';
import { loadSettings } from './config/load.ts';
import about from './package.json' with { type: 'json' };
import { startGateway } from './serve.ts';

const elapsed = () => performance.now();
const wall = () => Date.now();
const { stdout } = process;
const log = pino({ level: 'info', base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination(2));

interface Options {
  readonly config: string;
}

async function serve({ config }: Options): Promise<void> {
  // A terminal that goes away, or whoever means a reload, does not end what people have open.
  process.on('SIGHUP', () =>
    log.info('settings are read at the start alone, certificates and the token for the broker whenever they change'),
  );
  const gateway = await startGateway(await loadSettings(config), { version: about.version, elapsed, wall, log });
  log.info({ signal: await endingSignal() }, 'signal received');
  await gateway.stop();
}

async function checkConfig({ config }: Options): Promise<void> {
  const { lines, exit } = await check(await loadSettings(config), elapsed);
  stdout.write(lines.map((line) => `${line}\n`).join(''));
  process.exitCode = exit;
}

function program(): Command {
  const root = new Command('curfew-gateway')
    .description('sits in front of kube-apiserver and cuts what is open when its session is over')
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

void runProgram(program());
