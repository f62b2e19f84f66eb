// Who runs a command on this machine.

import { userInfo } from 'node:os';

/** Who runs a command that the audit log is to tell of. In a container a uid may have no name. */
export function operator(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.()}`;
  }
}
