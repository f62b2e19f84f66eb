// `doctor`: looks at all that a call of kubectl needs, and says what to do about what is not as it should be. Changes nothing.

import { existsSync } from 'node:fs';
import { CurfewError, EXIT } from '../../shared/errors.ts';
import { type Check, printChecks, printChecksAsJson, unseen, wrongBy } from '../doctor/check.ts';
import {
  checkBackground,
  checkCache,
  checkKeychain,
  checkKubeconfig,
  checkKubectl,
  checkKuberc,
  checkLauncher,
  checkPlugin,
  checkSession,
  checkSettings,
} from '../doctor/machine.ts';
import { checkBroker, checkCertificate, checkClock, checkIdentityProvider, checkProxy } from '../doctor/network.ts';
import { checkSsh } from '../doctor/ssh.ts';
import { chooseBroker } from '../host/config.ts';
import type { Host } from '../host/host.ts';
import { launcherOf } from '../host/launcher.ts';
import { createClient } from '../session/client.ts';
import type { Config } from '../warm/settings.ts';

export interface DoctorOptions {
  readonly output?: string;
  readonly broker?: string;
}

/** @returns the exit status: 1 where something is not as it should be */
export async function doctorCommand(host: Host, { output, broker }: DoctorOptions): Promise<number> {
  const checks = await examine(host, broker);
  host.print(output === 'json' ? printChecksAsJson(checks) : printChecks(checks));
  return checks.every(({ ok }) => ok === true) ? EXIT.done : EXIT.findings;
}

/** Looks at one after the other: what comes later is often a consequence of what came before. */
export async function examine(host: Host, broker?: string): Promise<readonly Check[]> {
  const { check: settings, config } = checkSettings(host);
  const { check: kubectl, minor } = await checkKubectl(host);
  const launcher = await checkLauncher(host);
  const [there, known] = [launcher.ok === true, settings.ok === true];
  const here = [
    ...[settings, launcher, kubectl],
    ...(there || existsSync(launcherOf(host)) ? [checkPlugin(host)] : after('launcher', 'plugin')),
    checkKuberc(host, minor),
  ];
  const own = [
    !config || !known ? unseen('kubeconfig', 'settings') : checkKubeconfig(host, config),
    checkCache(host),
    config ? await checkKeychain(host, config) : unseen('keychain', 'settings'),
    checkSsh(host),
  ];
  return [...here, ...own, ...(config ? await examineBroker(host, config, broker) : []), checkBackground(host)];
}

async function examineBroker(host: Host, config: Config, flag: string | undefined): Promise<readonly Check[]> {
  if (flag === undefined && Object.keys(config.brokers).length === 0) return [];
  try {
    const url = chooseBroker(host, flag);
    const proxy = await checkProxy(host, url);
    if (!proxy.ok) return [proxy, ...after('proxy', 'broker', 'certificate', 'clock', 'identity_provider')];
    const client = createClient(host, url);
    const certificate = await checkCertificate(client);
    const { check, metadata } = await checkBroker(client);
    if (!metadata && certificate.over)
      return [
        proxy,
        ...after('certificate', 'broker'),
        certificate,
        ...after('certificate', 'clock', 'identity_provider'),
      ];
    if (!metadata) return [proxy, check, ...after('broker', 'certificate', 'clock', 'identity_provider')];
    const rest = [certificate, await checkClock(client), await checkIdentityProvider(client, metadata)];
    return [proxy, check, ...rest, checkSession(host, url)];
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    return [wrongBy('broker', error)];
  }
}

function after(before: string, ...names: readonly string[]): readonly Check[] {
  return names.map((name) => unseen(name, before));
}
