// HTTP/2 connections on which nothing moves any more: ended, by a clock of ours. The timer that Node.js has for them outlives the connection
// (it is not cleared once that is destroyed), and keeps all that it had for as long: minutes of all connections that came.

import type { ServerHttp2Session } from 'node:http2';

/** How often a quiet connection is looked at before it is ended. */
const LOOKS = 12;

interface Seen {
  /** That came and went. */
  readonly bytes: number;
  /** Looks since they were fewer. */
  readonly looks: number;
}

/**
 * Ends those on which nothing has come or gone for so long, or a twelfth more.
 * @param open those that are to be looked at
 * @param quiet_ms milliseconds
 * @returns what is to be cleared at the end
 */
export function endQuiet(open: ReadonlySet<ServerHttp2Session>, quiet_ms: number): NodeJS.Timeout {
  const seen = new WeakMap<ServerHttp2Session, Seen>();
  const look = (session: ServerHttp2Session) => {
    const { bytesRead, bytesWritten } = session.socket;
    const bytes = bytesRead + bytesWritten;
    const before = seen.get(session);
    const looks = before?.bytes === bytes ? before.looks + 1 : 0;
    if (looks < LOOKS) seen.set(session, { bytes, looks });
    else session.destroy();
  };
  return setInterval(() => {
    for (const session of open) if (!session.destroyed) look(session);
  }, quiet_ms / LOOKS).unref();
}
