// Whose home this is. Under `sudo -E`, or with another's HOME, the environment leads into somebody else's folders: there
// nothing is read or written, as what we made would be ours and no longer theirs.

import type { Environment, Files, UserId } from '../warm/machine.ts';
import { absolute } from '../warm/paths.ts';

export interface StrangeHome {
  readonly home: string;
  readonly owner: number;
}

/** What may lie in the home of whoever called. */
const BENEATH = ['XDG_CONFIG_HOME', 'XDG_CACHE_HOME', 'CURFEW_CONFIG_DIR', 'CURFEW_CACHE_DIR'] as const;

/**
 * @param homeOf the home of this process's own user, as the system knows it
 * @returns the environment with HOME as our own, where it is another's
 */
export function ownEnvironment(
  env: Environment,
  { files, uid }: { readonly files: Pick<Files, 'lstat'>; readonly uid: UserId },
  homeOf: () => string | undefined,
): { readonly env: Environment; readonly strange_home?: StrangeHome } {
  const home = absolute(env.HOME);
  const owner = home === undefined || uid === undefined ? undefined : ownerOf(files, home);
  // Root's: a container's `/`, or nobody's. Nothing can be taken from root by who is not.
  if (home === undefined || owner === undefined || owner === uid || owner === 0) return { env };
  const own = absolute(homeOf());
  const lies = (path: string | undefined) => path !== undefined && (path === home || path.startsWith(`${home}/`));
  const left = Object.fromEntries(
    Object.entries(env).filter(([name, value]) => !(BENEATH.some((one) => one === name) && lies(value))),
  );
  const HOME = own !== undefined && ownerOf(files, own) === uid ? own : undefined;
  return { env: { ...left, HOME }, strange_home: { home, owner } };
}

function ownerOf(files: Pick<Files, 'lstat'>, path: string): number | undefined {
  try {
    return files.lstat(`${path}/.`)?.uid;
  } catch {
    return undefined;
  }
}
