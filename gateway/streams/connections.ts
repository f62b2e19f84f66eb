// Which requests are on one HTTP/2 connection: a reason that is given with its end is given to all of them.

import type { ServerHttp2Session } from 'node:http2';
import type { Opened } from '../live/opened.ts';

export class Connections {
  readonly #open = new WeakMap<ServerHttp2Session, Set<Opened>>();

  add(session: ServerHttp2Session | undefined, opened: Opened): void {
    if (!session) return;
    const all = this.#open.get(session) ?? new Set();
    this.#open.set(session, all.add(opened));
  }

  remove(session: ServerHttp2Session | undefined, opened: Opened): void {
    if (session) this.#open.get(session)?.delete(opened);
  }

  /** Whether nothing on it goes on. */
  allRefused(session: ServerHttp2Session): boolean {
    return [...(this.#open.get(session) ?? [])].every(({ refusal }) => refusal !== undefined);
  }
}
