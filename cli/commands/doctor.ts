// `doctor`: looks at all that a call of kubectl needs, and says what to do about what is not as it should be. Changes nothing.

import { CurfewError, EXIT } from '../../shared/errors.ts';
import { type Check, printChecks, printChecksAsJson, wrongBy } from '../doctor/check.ts';
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
import { chooseBroker } from '../host/config.ts';
import type { Host } from '../host/host.ts';
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
  return checks.every(({ ok }) => ok) ? EXIT.done : EXIT.findings;
}

/** Looks at one after the other: what comes later is often a consequence of what came before. */
export async function examine(host: Host, broker?: string): Promise<readonly Check[]> {
  const { check: settings, config } = checkSettings(host);
  const { check: kubectl, minor } = await checkKubectl(host);
  const here = [settings, await checkLauncher(host), kubectl, checkPlugin(host), checkKuberc(host, minor)];
  const own = config
    ? [checkKubeconfig(host, config), checkCache(host), checkKeychain(host, config)]
    : [checkCache(host)];
  return [...here, ...own, ...(config ? await examineBroker(host, config, broker) : []), checkBackground(host)];
}

async function examineBroker(host: Host, config: Config, flag: string | undefined): Promise<readonly Check[]> {
  if (flag === undefined && Object.keys(config.brokers).length === 0) return [];
  try {
    const url = chooseBroker(host, flag);
    const proxy = checkProxy(host, url);
    if (!proxy.ok) return [proxy];
    const client = createClient(host, url);
    const { check, metadata } = await checkBroker(client);
    const rest = [
      await checkCertificate(client),
      await checkClock(client),
      await checkIdentityProvider(client, metadata),
    ];
    return [proxy, check, ...rest, checkSession(host, url)];
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    return [wrongBy('broker', error)];
  }
}
