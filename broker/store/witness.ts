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
import { isSeconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import type { Link, Sealer } from '../audit_log/chain.ts';

/** What it knows. */
export interface Known {
  readonly database_id: string;
  readonly link: Link;
}

/** Bytes of each of its two records, which are written in turn: a torn one leaves the other. A sector is written whole. */
const RECORD_BYTES = 512;

export class Witness {
  readonly #file: string;
  readonly #sealer: Sealer;
  #fd: number | undefined;
  #turn = 0;
  #syncing = false;
  #last: Known | undefined;

  constructor(file: string, sealer: Sealer) {
    this.#file = file;
    this.#sealer = sealer;
  }

  get there(): boolean {
    return existsSync(this.#file);
  }

  /** @returns the newest that it knows; `undefined` when it holds nothing that was sealed with this key */
  read(): Known | undefined {
    const fd = openSync(this.#file, 'r');
    try {
      const known = [0, 1].flatMap((turn) => {
        const bytes = Buffer.alloc(RECORD_BYTES);
        readSync(fd, bytes, 0, RECORD_BYTES, turn * RECORD_BYTES);
        return this.#parse(bytes.toString()) ?? [];
      });
      return known.sort((a, b) => b.link.seq - a.link.seq)[0];
    } finally {
      closeSync(fd);
    }
  }

  /** Makes it, or makes it again: from here on it knows this and nothing else. @throws what the file system says */
  begin(known: Known): void {
    this.close();
    mkdirSync(path.dirname(this.#file), { recursive: true, mode: 0o700 });
    this.#fd = openSync(this.#file, existsSync(this.#file) ? 'r+' : 'wx+', 0o600);
    for (let i = 0; i < 2; i++) this.write(known);
  }

  /** @throws what the file system says */
  write(known: Known): void {
    if (this.#fd === undefined) throw new TypeError('a witness that was not begun');
    const { database_id, link } = known;
    const record = { version: 1, database_id, ...link, seal: this.#sealer.seal(sealed(known)) };
    writeSync(this.#fd, `${JSON.stringify(record).padEnd(RECORD_BYTES - 1)}\n`, this.#turn * RECORD_BYTES);
    this.#turn = 1 - this.#turn;
    this.#last = known;
  }

  /** Now and then: on disk as well, and made again where somebody took it away. @throws what the file system says */
  keep(): void {
    const [fd, last] = [this.#fd, this.#last];
    if (fd === undefined || !last) return;
    const there = statSync(this.#file, { throwIfNoEntry: false });
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
      const { database_id, seq, hash, seal } = value;
      if (typeof database_id !== 'string' || typeof hash !== 'string' || typeof seal !== 'string') return undefined;
      if (!isSeconds(seq)) return undefined;
      const known = { database_id, link: { seq, hash } };
      return this.#sealer.isSealed(sealed(known), seal) ? known : undefined;
    } catch {
      return undefined;
    }
  }
}

/** Never the text of a head of the chain, whose hash is hex alone. */
function sealed({ database_id, link: { seq, hash } }: Known): Link {
  return { seq, hash: `witness.${database_id}.${hash}` };
}
