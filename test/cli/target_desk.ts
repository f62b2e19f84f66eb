// A person who is logged in at a stand-in broker, with the plugin as shipped.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { secretFile } from '../../cli/secrets/file.ts';
import { printSecret } from '../../cli/secrets/secret.ts';
import { brokerOf } from '../../cli/session/trust.ts';
import { printRecord, recordFile, type SessionRecord } from '../../cli/warm/session_record.ts';
import { generateKey } from '../../cli/wire/dpop.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { type RunOptions, type RunResult, run } from '../../scripts/run.ts';
import { localTime } from '../support/local_time.ts';
import { type Pty, runInPty } from '../support/pty.ts';
import { type StandInTargets, startStandInTargets } from '../support/stand_in_targets.ts';
import { temporaryFolder } from './host.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface TargetDesk extends AsyncDisposable {
  readonly dir: string;
  readonly broker: StandInTargets;
  readonly env: Readonly<Record<string, string>>;
  /** Of the plugin, without arguments. */
  readonly command: readonly [string, string];
  curfew(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  atTerminal(args: readonly string[], env?: Env): Pty;
  /** With its streams, for what goes on for long. */
  start(args: readonly string[], env?: Env): ReturnType<typeof spawn>;
  /** As a login leaves it. */
  logIn(): Promise<void>;
}

/** @param kinds by the names of targets */
export async function openTargetDesk(kinds: Readonly<Record<string, string>>): Promise<TargetDesk> {
  const dir = temporaryFolder('targets');
  const { cli } = await buildBundles();
  const broker = await startStandInTargets(path.join(dir, 'ca'), kinds);
  const config = path.join(dir, 'config');
  const env = {
    ...{ PATH: process.env.PATH ?? '', ...localTime(), HOME: dir, TERM: 'xterm-256color' },
    ...{ CURFEW_CONFIG_DIR: config, CURFEW_CACHE_DIR: path.join(dir, 'cache'), BROWSER: '/bin/false' },
  };
  const settings = {
    secret_storage: 'file',
    default: broker.url,
    brokers: { [broker.url]: brokerOf(broker.authority.caFile, 'https://idp.test') },
  };
  const write = async (file: string, content: string) => {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    await writeFile(file, content, { mode: 0o600 });
  };
  await write(path.join(config, 'config.json'), JSON.stringify(settings));
  const command = [process.execPath, cli] as const;
  const desk: TargetDesk = {
    ...{ dir, broker, env, command },
    curfew: (args, options = {}) => run(command[0], [cli, ...args], { ...options, env: { ...env, ...options.env } }),
    atTerminal: (args, more = {}) => runInPty(command[0], [cli, ...args], { env: { ...env, ...more } }),
    start: (args, more = {}) =>
      spawn(command[0], [cli, ...args], { env: { ...env, ...more }, stdio: ['pipe', 'pipe', 'pipe'] }),
    async logIn() {
      const { url, session, handle } = broker;
      const record: SessionRecord = {
        broker: url,
        endpoints: {
          ...{ token_endpoint: `${url}/token`, revocation_endpoint: `${url}/revoke` },
          sessions_endpoint: `${url}/v1/sessions`,
        },
        audiences: {},
        kept_in: 'file',
        session,
        minted_local: broker.now(),
      };
      await write(recordFile(config, url), printRecord(record));
      await write(secretFile(config, url), printSecret({ dpop_private_jwk: generateKey(), handle }));
    },
    [Symbol.asyncDispose]: () => broker.stop(),
  };
  await desk.logIn();
  return desk;
}

/** All that a stream brings, until its end. */
export async function bytesOf(stream: NodeJS.ReadableStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(stream, 'end');
  return Buffer.concat(chunks);
}
