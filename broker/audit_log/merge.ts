// Rows of several chains as one sequence: by time, then lane. Within a chain they stay in its order, whatever time they tell.

import type { AuditRow } from './verify.ts';

interface Stream {
  readonly lane: number;
  readonly rows: AsyncIterator<AuditRow>;
}

interface Waiting extends Stream {
  readonly row: AuditRow;
  /** The latest that the chain has told of so far. */
  readonly at: number;
}

export async function* merged(
  lanes: readonly number[],
  rowsOf: (lane: number) => AsyncIterable<AuditRow>,
): AsyncGenerator<AuditRow> {
  const open = lanes.map((lane): Stream => ({ lane, rows: rowsOf(lane)[Symbol.asyncIterator]() }));
  const waiting: Waiting[] = [];
  try {
    for (const stream of open) await advance(waiting, stream, 0);
    for (let next = takeFirst(waiting); next; next = takeFirst(waiting)) {
      yield next.row;
      await advance(waiting, next, next.at);
    }
  } finally {
    for (const { rows } of open) await rows.return?.();
  }
}

async function advance(waiting: Waiting[], { lane, rows }: Stream, at: number): Promise<void> {
  const { done, value: row } = await rows.next();
  if (!done) waiting.push({ lane, rows, row, at: typeof row.at === 'number' ? Math.max(at, row.at) : at });
}

function takeFirst(waiting: Waiting[]): Waiting | undefined {
  const [head, ...others] = waiting;
  if (!head) return undefined;
  const first = others.reduce((one, other) => ((other.at - one.at || other.lane - one.lane) < 0 ? other : one), head);
  waiting.splice(waiting.indexOf(first), 1);
  return first;
}
