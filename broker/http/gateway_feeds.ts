// Answers that do not end: lines as they come, and one a second where nothing comes. A reader that does not read is cut.

import type { ServerResponse } from 'node:http';
import { feedLine, HEARTBEAT_MS } from '../../shared/gateway_wire.ts';
import type { Telling } from '../gateways/ends.ts';

/** Of the gateways of one cluster. Who comes back before its last connection is seen to be dead takes the place of the oldest. */
const MOST_OF_CLUSTER = 64;
/** Milliseconds in which what was written must be on its way. */
const LONGEST_STALL_MS = 10_000;

export interface FeedParts {
  /** Calls when there may be something to tell. @returns ends that */
  readonly onWake: (told: () => void) => () => void;
  /** Is told that a feed ended by a failure of ours. */
  readonly onFailure: () => void;
  /** Is told how many there are of the cluster. */
  readonly onCount: (open: number) => void;
}

export class GatewayFeeds {
  readonly #open = new Map<string, Set<() => void>>();

  readonly #stall_ms: number;

  constructor(stall_ms = LONGEST_STALL_MS) {
    this.#stall_ms = stall_ms;
  }

  /** Writes until the reader goes, or `telling` is over. */
  serve(cluster: string, response: ServerResponse, telling: Telling, parts: FeedParts): void {
    const feeds = this.#open.get(cluster) ?? new Set();
    this.#open.set(cluster, feeds);
    const [oldest] = feeds;
    if (feeds.size >= MOST_OF_CLUSTER) oldest?.();
    const close = serveLines(response, telling, parts, this.#stall_ms, () => {
      feeds.delete(close);
      parts.onCount(feeds.size);
    });
    feeds.add(close);
    parts.onCount(feeds.size);
  }

  /** All of them end: their gateways ask another broker, or this one once it has started again. */
  close(): void {
    for (const feeds of this.#open.values()) for (const close of [...feeds]) close();
  }
}

/** @returns ends it */
function serveLines(
  response: ServerResponse,
  telling: Telling,
  { onWake, onFailure }: FeedParts,
  stall_ms: number,
  onClose: () => void,
): () => void {
  let [closed, busy, again, beat] = [false, false, false, false];
  let stalled: NodeJS.Timeout | undefined;
  const close = () => {
    if (closed) return;
    closed = true;
    clearInterval(beats);
    clearTimeout(stalled);
    stopWaking();
    onClose();
    // What is on its way arrives; a reader that stands still is not waited for.
    if (stalled !== undefined) response.destroy();
    else response.end();
  };
  const write = (text: string) => {
    if (closed || text === '' || response.write(text)) return;
    stalled = setTimeout(close, stall_ms);
    response.once('drain', () => {
      clearTimeout(stalled);
      stalled = undefined;
      void tell();
    });
  };
  const tell = async () => {
    if (busy || stalled !== undefined) again = true;
    if (closed || busy || stalled !== undefined) return;
    busy = true;
    try {
      do {
        again = false;
        const lines = await telling.next();
        if (lines === undefined) return close();
        // There may be more.
        if (lines.length > 0) again = true;
        const beating = beat && lines.length === 0 ? telling.heartbeat() : undefined;
        beat = false;
        write([...lines, ...(beating ? [beating] : [])].map(feedLine).join(''));
      } while (again && !closed && stalled === undefined);
    } catch {
      onFailure();
      close();
    } finally {
      busy = false;
    }
  };
  const stopWaking = onWake(() => void tell());
  const beats = setInterval(() => {
    beat = true;
    void tell();
  }, HEARTBEAT_MS);
  beats.unref();
  response.once('close', close);
  response.once('error', close);
  void tell();
  return close;
}
