// Which way a login goes where nobody said: by what this terminal can do.

import type { Environment } from '../warm/machine.ts';
import type { Flow } from '../warm/settings.ts';

export interface Surroundings {
  readonly env: Environment;
  readonly platform: NodeJS.Platform;
  readonly exists: (path: string) => boolean;
  /** Whether identity provider and broker have the device grant (RFC 8628). */
  readonly device: boolean;
}

export function chooseFlow(surroundings: Surroundings): Flow {
  if (hasBrowser(surroundings)) return 'browser';
  return surroundings.device ? 'device' : 'paste';
}

/** Whether a browser opened from here is one that the person sees, and that reaches loopback here. */
function hasBrowser({ env, platform, exists }: Surroundings): boolean {
  if (env.BROWSER) return true;
  if (env.SSH_CONNECTION || env.SSH_TTY || isContainer(env, exists)) return false;
  if (platform !== 'linux') return true;
  return Boolean(env.DISPLAY || env.WAYLAND_DISPLAY || windowsOpener(env, exists));
}

function isContainer(env: Environment, exists: (path: string) => boolean): boolean {
  const named = env.container || env.KUBERNETES_SERVICE_HOST || env.CODESPACES || env.REMOTE_CONTAINERS;
  return Boolean(named) || exists('/.dockerenv') || exists('/run/.containerenv');
}

/** Under WSL: the program in PATH that opens an address in the browser of Windows. */
export function windowsOpener(env: Environment, exists: (path: string) => boolean): readonly string[] | undefined {
  if (!env.WSL_DISTRO_NAME && !env.WSL_INTEROP) return undefined;
  const openers = [['wslview'], ['rundll32.exe', 'url.dll,FileProtocolHandler']] as const;
  const folders = (env.PATH ?? '').split(':').filter((folder) => folder.startsWith('/'));
  return openers.find(([program]) => folders.some((folder) => exists(`${folder}/${program}`)));
}
