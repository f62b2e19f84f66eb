// Opens the way by which this login goes: as asked for, as set, or as this terminal can.

import { existsSync } from 'node:fs';
import { CurfewError } from '../../shared/errors.ts';
import type { Metadata } from '../../shared/metadata.ts';
import { readConfig } from '../host/config.ts';
import type { Client } from '../session/client.ts';
import type { IdentityProvider } from '../wire/identity_provider.ts';
import { openBrowserWay } from './browser.ts';
import { openDeviceWay } from './device.ts';
import { chooseFlow } from './flow.ts';
import { openPasteWay } from './paste.ts';
import type { Way, Wish } from './way.ts';

/** @throws CurfewError `configuration` when the device grant is wanted and cannot be had, `busy` for taken ports */
export async function openWay(
  { host }: Pick<Client, 'host'>,
  { identity_provider }: Metadata,
  provider: IdentityProvider,
  { flow, no_browser = false, no_paste = false }: Wish,
): Promise<Way> {
  const missing = whyNoDevice(identity_provider, provider);
  const surroundings = { env: host.env, platform: host.platform, exists: existsSync, device: missing === undefined };
  const wanted = flow ?? (no_browser ? 'browser' : (readConfig(host).flow ?? chooseFlow(surroundings)));
  switch (wanted) {
    case 'browser':
      return await openBrowserWay(host, provider, identity_provider, no_browser);
    case 'device': {
      const paste = host.interactive && !no_paste ? openPasteWay(host, provider, identity_provider) : undefined;
      if (missing === undefined) return openDeviceWay(host, provider, paste);
      throw new CurfewError('configuration', `--flow device: ${missing}`, {
        hint: 'use --flow paste, or --flow browser',
      });
    }
    case 'paste':
      if (no_paste)
        throw new CurfewError('login_failed', 'the answer of this login is to be pasted, and stdin is taken');
      return openPasteWay(host, provider, identity_provider);
  }
}

function whyNoDevice(
  { device_grant }: Metadata['identity_provider'],
  { has_device_grant }: IdentityProvider,
): string | undefined {
  if (device_grant !== true) return 'the broker does not take logins by device code (identity_provider.device_grant)';
  return has_device_grant ? undefined : 'the identity provider has no device grant';
}
