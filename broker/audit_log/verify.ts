// Whether a chain of the audit log is as it was written, and if not, where: a row removed, changed, added or moved, the end cut off,
// the whole made again. Pure over rows, in constant memory.

import { parseJson } from '../../shared/json.ts';
import { isSeconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { formatTime } from '../text/rfc3339.ts';
import { genesisOf, type Link, linkOf, type Sealer } from './chain.ts';

/** One row as it is in the store. */
export interface AuditRow extends Link {
  readonly at: unknown;
  readonly event: unknown;
  readonly sid: unknown;
  /** The event as JSON, byte for byte. */
  readonly data: Uint8Array;
}

export interface SealedHead extends Link {
  readonly seal: string;
}

export interface ChainFindings {
  readonly rows: number;
  readonly newest: Link;
}

export interface Verification {
  /** The next row, in the order of `seq`. */
  take(row: AuditRow): void;
  /** After the last row. */
  finish(): ChainFindings;
  /** As far as it has come. */
  readonly newest: Link;
}

export interface ChainToVerify {
  readonly lane: number;
  /** What is sealed in the store, as of the same moment as the rows. */
  readonly head: SealedHead | undefined;
  /** Links that were noted elsewhere: a whole chain that was made again, or put back to an earlier state, does not contain them. */
  readonly anchors: readonly Link[];
}

/** The last second that RFC 3339 can write. */
const LATEST = 253_402_300_799;

/** @param fault is told of one after the other, in the order of the rows */
export function verification(
  { lane, head, anchors }: ChainToVerify,
  sealer: Sealer,
  fault: (text: string) => void,
): Verification {
  const genesis = genesisOf(lane);
  const at = ({ seq, hash }: Link): Link => ({ ...genesis, seq, hash });
  let count = 0;
  let newest = genesis;
  /** Whether the row before is there, so that its hash is known. */
  let known = true;
  let atHead: Link | undefined = head?.seq === 0 ? genesis : undefined;
  const atAnchors = new Map(anchors.map(({ seq }): [number, string | undefined] => [seq, undefined]));

  return {
    get newest() {
      return newest;
    },
    take(row) {
      count += 1;
      if (row.seq < 1) return fault(`${sayRow(row)} is before the first: it was added`);
      if (row.seq <= newest.seq) return fault(`${sayRow(row)} is there twice: one of them was added`);
      if (row.seq > newest.seq + 1) {
        fault(`${sayRows(newest.seq + 1, row.seq - 1)} removed: ${sayPlace(newest)} comes ${sayRow(row)}`);
        known = false;
      }
      const wrong = known ? faultOf(row, newest) : faultOfColumns(row);
      if (wrong !== undefined) fault(`${sayRow(row)} ${wrong}`);
      newest = at(row);
      known = true;
      if (row.seq === head?.seq) atHead = newest;
      if (atAnchors.has(row.seq)) atAnchors.set(row.seq, row.hash);
    },
    finish() {
      if (head) for (const text of faultsOfEnd(at(head), head.seal, { atHead, newest, sealer })) fault(text);
      else fault('the seal of the newest row is missing: whether rows were cut off at the end cannot be told');
      for (const anchor of anchors) {
        const found = atAnchors.get(anchor.seq);
        if (found !== anchor.hash) fault(sayLost(anchor, found !== undefined));
      }
      return { rows: count, newest };
    },
  };
}

function faultOf(row: AuditRow, before: Link): string | undefined {
  if (linkOf(before, row.data).hash === row.hash) return faultOfColumns(row);
  const place = before.seq === 0 ? 'the beginning' : `row ${before.seq}`;
  return `was changed, or a row before it: its hash does not follow from ${place}`;
}

/** The columns that are looked for say the same as the event. */
function faultOfColumns(row: AuditRow): string | undefined {
  const event = parseEvent(row.data);
  if (!event) return 'was changed: it holds no event';
  const { at, event: name, sid = null } = event;
  const told = Object.entries({ at, event: name, sid });
  const wrong = told.find(([column, value]) => row[column as 'at' | 'event' | 'sid'] !== value);
  return wrong && `was changed: its column ${wrong[0]} differs from what its event says`;
}

function faultsOfEnd(
  head: Link,
  seal: string,
  { atHead, newest, sealer }: { readonly atHead: Link | undefined; readonly newest: Link; readonly sealer: Sealer },
): string[] {
  const { seq, hash } = head;
  if (!sealer.isSealed(head, seal)) {
    return ['the seal of the newest row does not fit the encryption key: it was replaced, or the key is another one'];
  }
  if (newest.seq < seq) return [`${sayRows(newest.seq + 1, seq)} cut off at the end: the seal is of row ${seq}`];
  return [
    ...(atHead?.hash === hash ? [] : [`row ${seq} is not the one that was sealed`]),
    ...(newest.seq > seq ? [`${sayRows(seq + 1, newest.seq)} added at the end: the seal is of row ${seq}`] : []),
  ];
}

function sayLost({ seq }: Link, there: boolean): string {
  return there
    ? `row ${seq} is not the one of the anchor: the audit log was made again, or is another one`
    : `row ${seq}, which the anchor names, is not there: the audit log was cut off, or taken back to an earlier state`;
}

function sayRows(first: number, last: number): string {
  return first === last ? `row ${first} was` : `rows ${first} to ${last} were`;
}

function sayPlace({ seq }: Link): string {
  return seq === 0 ? 'at the beginning' : `after row ${seq}`;
}

/** What a person needs to find it again. Nothing of a row that was tampered with reaches a terminal as it is. */
function sayRow({ seq, event, at }: AuditRow): string {
  const name = typeof event === 'string' && /^\w{1,40}$/.test(event) ? event : 'of no known event';
  const time = isSeconds(at) && at <= LATEST ? formatTime(at) : 'at no known time';
  return `row ${seq} (${name}, ${time})`;
}

/** What a row holds. @returns `undefined` when that is no event */
export function parseEvent(data: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  const value = parseJson(Buffer.from(data).toString());
  return isObject(value) ? value : undefined;
}
