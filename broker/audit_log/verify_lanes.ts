// Whether an audit log is as it was written: each of its chains in itself, and what they say of one another.

import { CurfewError } from '../../shared/errors.ts';
import type { Link, Sealer } from './chain.ts';
import { Faults } from './faults.ts';
import { NamedHeads } from './named_heads.ts';
import type { Moment } from './reader.ts';
import { verification } from './verify.ts';

export interface Findings {
  readonly rows: number;
  /** The newest of each chain, in the order of their numbers. */
  readonly newest: readonly Link[];
  readonly faults: readonly string[];
}

export interface ToVerify {
  readonly sealer: Sealer;
  /** Links that were noted elsewhere. */
  readonly anchors: readonly Link[];
  /** Whether chains are told apart. */
  readonly several: boolean;
}

/** @throws CurfewError where the database fails; what cannot be read is a fault like others */
export async function verifyLanes(moment: Moment, { sealer, anchors, several }: ToVerify): Promise<Findings> {
  const faults = new Faults();
  const inLane = (lane: number, text: string) => (several ? `lane ${lane}: ${text}` : text);
  const lanes = await moment.lanes();
  const named = new NamedHeads(moment, lanes);
  const newest: Link[] = [];
  let rows = 0;
  for (const lane of lanes) {
    const head = await moment.sealedHead(lane);
    const own = anchors.filter((anchor) => (anchor.lane ?? 0) === lane);
    const verifying = verification({ lane, head, anchors: own }, sealer, (text) => faults.add(inLane(lane, text)));
    try {
      for await (const row of moment.rows(lane)) {
        verifying.take(row);
        await named.take(row, lane);
      }
    } catch (error) {
      if (error instanceof CurfewError) throw error;
      return { rows, newest, faults: [inLane(lane, sayUnreadable(verifying.newest, error))] };
    }
    const found = verifying.finish();
    rows += found.rows;
    newest.push(found.newest);
  }
  const lost = await named.finish();
  const missing = anchors.filter(({ lane = 0 }) => !lanes.includes(lane));
  return {
    rows,
    newest,
    faults: [
      ...(lanes.length === 0 ? ['there is no lane: the audit log was removed'] : []),
      ...missing.map(({ lane = 0, seq }) => `lane ${lane}, of which the anchor names row ${seq}, is not there`),
      ...faults.lines,
      ...lost.map(([lane, text]) => inLane(lane, text)),
    ],
  };
}

/** A file that is damaged is a fault of the audit log like others. What comes after the place cannot be judged, nor the end. */
function sayUnreadable({ seq }: Link, error: unknown): string {
  return `the store cannot be read after row ${seq} (${error instanceof Error ? error.message : 'unknown'})`;
}
