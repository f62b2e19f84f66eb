// A world of targets with a real sshd behind its gateway, set up with what the broker prints for it. The way from gateway to host is from an
// address of loopback that nothing else comes from.

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type RunResult, run } from '../../scripts/run.ts';
import { logIn } from './log_in.ts';
import type { Person } from './person.ts';
import { type Running, startRunning } from './running.ts';
import { GATEWAY_ADDRESS } from './ssh_client.ts';
import { makeSshServer, type SshServer } from './sshd.ts';
import { startTargetWorld, type TargetWorld, type TargetWorldOptions } from './target_world.ts';
import { type Link, startLink } from './tcp_link.ts';

export const BASTION = 'bastion';
export const ACCOUNTS = ['deploy', 'ops'] as const;

export interface SshWorld extends TargetWorld {
  readonly server: SshServer;
  /** Between the gateway and the host. */
  readonly link: Link;
  /** As the broker has it. */
  readonly target: Readonly<Record<string, unknown>>;
  /** Somebody who has logged in, and for whom plain ssh reaches the target. */
  loggedIn(name: string, age?: number): Promise<Person>;
  /** Plain ssh of theirs, to its end. */
  ssh(person: Person, ...words: readonly string[]): Promise<RunResult>;
  /** Another program that runs ssh: scp, sftp, rsync. */
  by(person: Person, program: string, ...words: readonly string[]): Promise<RunResult>;
  /** Starts plain ssh. */
  begin(person: Person, ...words: readonly string[]): Running;
}

/** @param target changes to the target at the broker */
export async function startSshWorld(
  options: Omit<TargetWorldOptions, 'targets' | 'source_addresses'> = {},
  change: Readonly<Record<string, unknown>> = {},
): Promise<SshWorld> {
  const server = await makeSshServer(ACCOUNTS);
  const link = await startLink(server.port, GATEWAY_ADDRESS);
  const target = {
    ...{ name: BASTION, kind: 'ssh', address: `127.0.0.1:${link.port}`, allowed_groups: ['*'] },
    ...{
      host_key: server.host_key,
      accounts: ACCOUNTS.map((account) => ({ account, groups: ['*'] })),
      permit: ['pty'],
    },
    ...change,
  };
  const around = async () => {
    await link.stop();
    await server.stop();
  };
  const world = await startTargetWorld({
    ...options,
    ...{ targets: [target], source_addresses: [`${GATEWAY_ADDRESS}/32`] },
  }).catch(async (error: unknown) => {
    await around();
    throw error;
  });
  const stop = async () => {
    await world.stop();
    await around();
  };
  try {
    for (const { file, text } of await printed(world)) await server.put(file, text);
    const fault = await server.judge();
    if (fault !== '') throw new Error(`sshd -t: ${fault}`);
    await server.start();
  } catch (error) {
    await stop();
    throw error;
  }
  const config = (person: Person) => path.join(person.dir, '.ssh/config');
  return {
    ...world,
    ...{ server, link, target, stop },
    get broker() {
      return world.broker;
    },
    get gateway() {
      return world.gateway;
    },
    async loggedIn(name, age = 0) {
      const person = await logIn(world, name, { age });
      const { code, stderr } = await person.setup('--ssh');
      if (code !== 0) throw new Error(stderr);
      return person;
    },
    ssh: (person, ...words) => run('ssh', ['-F', config(person), ...words], { env: person.env }),
    by: (person, program, ...words) => run(program, words, { env: person.env, timeout: 600_000 }),
    begin: (person, ...words) => startRunning('ssh', ['-F', config(person), ...words], person.env),
  };
}

/** As an administrator puts it there: each file by itself. */
async function printed({ site }: TargetWorld): Promise<readonly { readonly file: string; readonly text: string }[]> {
  const print = async (...more: readonly string[]) => {
    const { code, stdout, stderr } = await site.command('print', 'sshd-config', '--target', BASTION, ...more);
    if (code !== 0) throw new Error(`print sshd-config: ${stderr}`);
    return stdout;
  };
  const files = [...(await print()).matchAll(/^## (\/\S+)$/gm)].map(([, file = '']) => file);
  return Promise.all(files.map(async (file) => ({ file, text: await print('--file', file) })));
}

/** What is in a file of theirs. */
export function readOf(person: Person, name: string): Promise<Buffer> {
  return readFile(path.join(person.dir, name));
}
