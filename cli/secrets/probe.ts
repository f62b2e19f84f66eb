// What came of the last try of the keychain: one that failed costs its time limit once, not at every login.

import { parseJson } from '../../shared/json.ts';
import { isSeconds, over, plus, type Seconds, seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { makePrivateDirectory, removeFile, writeWhole } from '../host/files.ts';
import { configDirectoryOf, type Host } from '../host/host.ts';
import type { OwnFiles } from '../warm/machine.ts';
import { readOurs } from '../warm/read_cache.ts';

/** When a keychain that failed is tried again: it may only have been locked. */
const AGAIN = seconds(86_400);

interface Probe {
  readonly fault: string;
  /** Another session bus is another keychain: at a desktop after SSH, say. */
  readonly bus: string;
  readonly at: Seconds;
}

/** @returns why the keychain failed here not long ago */
export function rememberedFault(host: OwnFiles & Pick<Host, 'now' | 'platform'>): string | undefined {
  const text = readOurs(host, fileOf(host));
  const probe = text?.content === undefined ? undefined : parseProbe(text.content);
  const now = host.now();
  if (!probe || probe.bus !== busOf(host) || now < probe.at || over(plus(probe.at, AGAIN), now)) return undefined;
  return probe.fault;
}

/** @param fault absent when it worked */
export function rememberProbe(
  host: OwnFiles & Pick<Host, 'now' | 'platform' | 'random'>,
  fault: string | undefined,
): void {
  if (fault === undefined) return void removeFile(fileOf(host));
  const probe: Probe = { fault, bus: busOf(host), at: host.now() };
  try {
    makePrivateDirectory(configDirectoryOf(host), host);
    writeWhole(fileOf(host), JSON.stringify(probe), host);
  } catch {
    // It is tried again at the next login.
  }
}

function fileOf(host: OwnFiles): string {
  return `${configDirectoryOf(host)}/keychain.json`;
}

function busOf({ env, platform }: Pick<Host, 'env' | 'platform'>): string {
  return platform === 'linux' ? env.DBUS_SESSION_BUS_ADDRESS || env.XDG_RUNTIME_DIR || '' : platform;
}

function parseProbe(text: string): Probe | undefined {
  const value = parseJson(text);
  if (!isObject(value) || typeof value.fault !== 'string' || typeof value.bus !== 'string' || !isSeconds(value.at))
    return undefined;
  return { fault: value.fault, bus: value.bus, at: value.at };
}
