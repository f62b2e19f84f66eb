// `audit kubeconfig --fix`: a user that can be a session becomes one, after its person said so. All else of the file stays, to the byte.

import { CurfewError } from '../../shared/errors.ts';
import { readConfig, requireOwnPlace, writeConfig } from '../host/config.ts';
import { configDirectoryOf, type Host } from '../host/host.ts';
import { writeLauncher } from '../host/launcher.ts';
import { userOf } from '../kubeconfig/entries.ts';
import { editKubeconfig } from '../kubeconfig/kubeconfig.ts';
import { brokerOf, requireByHand } from '../session/trust.ts';
import { oneLine } from '../warm/one_line.ts';
import { createBroker, refuseInsecure } from '../wire/broker.ts';
import { createSend } from '../wire/http.ts';
import type { Audited } from './files.ts';
import { type Candidate, candidates } from './replaceable.ts';
import { sayName } from './words.ts';
import type { World } from './world.ts';

/** For a person to answer, in milliseconds. */
const DEADLINE_MS = 180_000;

/** @throws CurfewError `usage` where nobody can be asked, before anything is asked of the broker */
export function requireAsking({ interactive }: Pick<Host, 'interactive'>, yes: boolean): void {
  if (yes || interactive) return;
  throw new CurfewError('usage', '--fix asks before it replaces an entry, and nobody is at a terminal', {
    hint: 'run it at a terminal, or give --yes',
  });
}

/**
 * @param broker from `brokerKey`
 * @param yes nobody is asked
 * @throws CurfewError
 */
export async function fixFiles(
  host: Host,
  audited: Audited,
  world: Pick<World, 'read'>,
  broker: string,
  yes: boolean,
): Promise<void> {
  requireOwnPlace(host, `${configDirectoryOf(host)}/bin`);
  const config = readConfig(host);
  refuseInsecure(broker, host);
  requireByHand(host, config, broker);
  const ca_file = config.brokers[broker]?.ca_file;
  const metadata = await createBroker(broker, createSend(host, ca_file), host).metadata();
  let contexts = config.contexts ?? {};
  let replaced = 0;
  for (const candidate of candidates(audited, metadata.clusters, world.read)) {
    const { file, user, cluster, why } = candidate;
    if (cluster === undefined) {
      host.print(`left ${said(candidate)}: ${why}\n`);
      continue;
    }
    if (!yes && !(await agrees(host, candidate))) {
      host.print(`left ${said(candidate)}\n`);
      continue;
    }
    const command = writeLauncher(host).file;
    const call = { command, api: 'v1', broker, max_age: undefined, ca_file };
    try {
      await editKubeconfig(host, file, (text) => text.replace('users', user, userOf(cluster, call)));
    } catch (error) {
      // The others are replaced all the same.
      if (!(error instanceof CurfewError)) throw error;
      host.print(`left ${said(candidate)}: ${oneLine(error.message)}\n`);
      continue;
    }
    host.print(`replaced ${said(candidate)}: a session at ${oneLine(broker)} for the cluster ${oneLine(cluster)}\n`);
    const server = metadata.clusters.find(({ name }) => name === cluster)?.server;
    const leads = candidate.contexts.map((context) => [context, { broker, cluster, server }] as const);
    contexts = { ...contexts, ...Object.fromEntries(leads) };
    replaced += 1;
  }
  if (replaced === 0) return;
  const known = { ...config.brokers, [broker]: brokerOf(ca_file, metadata.identity_provider.issuer) };
  writeConfig(host, { ...config, brokers: known, contexts });
  host.print(
    'what was there is still good at the cluster: have the token deleted, the password changed, the certificate replaced\n',
  );
}

async function agrees(host: Host, candidate: Candidate): Promise<boolean> {
  const question = `replace ${said(candidate)} by a session for the cluster ${oneLine(candidate.cluster ?? '')}? [y/N] `;
  const answer = await host.ask(question, DEADLINE_MS, new AbortController().signal);
  return /^y(?:es)?$/i.test((answer ?? '').trim());
}

function said({ file, user, names }: Candidate): string {
  return `user ${sayName(user)} in ${oneLine(file)} (${names.join(', ')})`;
}
