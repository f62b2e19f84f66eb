// That connections are cut as there are too many, in the log: one line in a minute, whatever is cut.

import type { BaseLogger } from 'pino';

const SAY_MS = 60_000;

/** @returns what is to be called for each */
export function sayCuts(log: Pick<BaseLogger, 'warn'>): () => void {
  let count = 0;
  let timer: NodeJS.Timeout | undefined;
  const say = () => {
    if (count > 0) log.warn({ connections: count }, 'connections that sent nothing were cut: there were too many');
    timer = count > 0 ? setTimeout(say, SAY_MS).unref() : undefined;
    count = 0;
  };
  return () => {
    count += 1;
    if (timer === undefined) say();
  };
}
