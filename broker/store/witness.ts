// The witness: a small file in another folder that knows which store it is, and the newest row of its audit log. A store that was
// put back to an earlier copy does not have that row; another store has another id. It is written before anything is acknowledged,
// in place and without a sync of its own: after a power cut it may be older than the store, which is no fault, never newer.

import {
  closeSync,
  existsSync,
  fdatasync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { isSeconds, type Seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import type { Link, Sealer } from '../audit_log/chain.ts';

/** What it knows. */
export interface Known {
  readonly database_id: string;
  readonly link: Link;
  /** Of PostgreSQL. */
  readonly server?: ServerState | undefined;
}

/** What a database server says of itself, and the store in it. None of these numbers ever goes down while it is the same store. */
export interface ServerState {
  /** Of the database cluster, as it was initialized. */
  readonly system_id: string;
  /** Raised with each failover and each recovery. */
  readonly timeline: number;
  /** How often all was declared over, and which of those declarations was the last. */
  readonly epoch: number;
  readonly epoch_id?: string | null | undefined;
  /** The newest instant that was committed at. */
  readonly newest: Seconds;
}

/** Bytes of each of its two records, which are written in turn: a torn one leaves the other. A sector is written whole. */
const RECORD_BYTES = 512;

export class Witness {
  readonly file: string;
  readonly #sealer: Sealer;
  #fd: number | undefined;
  #turn = 0;
  #syncing = false;
  #last: Known | undefined;

  constructor(file: string, sealer: Sealer) {
    this.file = file;
    this.#sealer = sealer;
  }

  get there(): boolean {
    return existsSync(this.file);
  }

  /** @returns its records, the newer one first; none when it holds nothing that was sealed with this key */
  read(): readonly Known[] {
    const fd = openSync(this.file, 'r');
    try {
      const known = [0, 1].flatMap((turn) => {
        const bytes = Buffer.alloc(RECORD_BYTES);
        readSync(fd, bytes, 0, RECORD_BYTES, turn * RECORD_BYTES);
        return this.#parse(bytes.toString()) ?? [];
      });
      return known.sort((a, b) => b.link.seq - a.link.seq);
    } finally {
      closeSync(fd);
    }
  }

  /** Makes it, or makes it again: from here on it knows this and nothing else. @throws what the file system says */
  begin(known: Known): void {
    this.close();
    mkdirSync(path.dirname(this.file), { recursive: true, mode: 0o700 });
    this.#fd = openSync(this.file, existsSync(this.file) ? 'r+' : 'wx+', 0o600);
    for (let i = 0; i < 2; i++) this.write(known);
  }

  /** @throws what the file system says */
  write(known: Known): void {
    if (this.#fd === undefined) throw new TypeError('a witness that was not begun');
    const { database_id, link, server } = known;
    const record = { version: 1, database_id, ...link, ...server, seal: this.#sealer.seal(sealed(known)) };
    writeSync(this.#fd, `${JSON.stringify(record).padEnd(RECORD_BYTES - 1)}\n`, this.#turn * RECORD_BYTES);
    this.#turn = 1 - this.#turn;
    this.#last = known;
  }

  /** Now and then: on disk as well, and made again where somebody took it away. @throws what the file system says */
  keep(): void {
    const [fd, last] = [this.#fd, this.#last];
    if (fd === undefined || !last) return;
    const there = statSync(this.file, { throwIfNoEntry: false });
    const own = fstatSync(fd);
    if (there?.ino !== own.ino || there.dev !== own.dev) {
      this.begin(last);
      return;
    }
    if (!this.#syncing) {
      this.#syncing = true;
      fdatasync(fd, () => {
        this.#syncing = false;
      });
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #parse(text: string): Known | undefined {
    try {
      const value: unknown = JSON.parse(text);
      if (!isObject(value)) return undefined;
      const { database_id, lane, seq, hash, seal } = value;
      if (typeof database_id !== 'string' || typeof hash !== 'string' || typeof seal !== 'string') return undefined;
      if (!isSeconds(seq) || !(lane === undefined || isSeconds(lane))) return undefined;
      const known = { database_id, link: { seq, hash, ...(lane && { lane }) }, server: serverOf(value) };
      return this.#sealer.isSealed(sealed(known), seal) ? known : undefined;
    } catch {
      return undefined;
    }
  }
}

function serverOf(record: Readonly<Record<string, unknown>>): ServerState | undefined {
  const { system_id, timeline, epoch, epoch_id, newest } = record;
  if (typeof system_id !== 'string' || !isSeconds(timeline) || !isSeconds(epoch) || !isSeconds(newest))
    return undefined;
  return { system_id, timeline, epoch, ...(typeof epoch_id === 'string' && { epoch_id }), newest };
}

/** Never the text of a head of a chain, whose hash is hex alone. */
function sealed({ database_id, link: { hash, ...place }, server }: Known): Link {
  if (!server) return { ...place, hash: `witness.${database_id}.${hash}` };
  const { system_id, timeline, epoch, epoch_id, newest } = server;
  const state = [system_id, timeline, epoch, newest, ...(epoch_id ? [epoch_id] : [])];
  return { ...place, hash: `witness.${database_id}.${hash}.${state.join('.')}` };
}
