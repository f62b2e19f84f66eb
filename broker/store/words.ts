// What went wrong with the store, in words that a person can act on. By SQLite's result codes (sqlite.org/rescode.html).

/** @returns `undefined` where it is nothing that SQLite, PostgreSQL or the file system names */
export function sayStoreFault(error: unknown): string | undefined {
  const { errcode, code } = causeOf(error);
  if (code !== undefined && /^[0-9A-Z]{5}$/.test(code)) {
    return (
      POSTGRES_FAULTS[code] ??
      POSTGRES_FAULTS[code.slice(0, 3)] ??
      POSTGRES_FAULTS[code.slice(0, 2)] ??
      `PostgreSQL says ${code}`
    );
  }
  if (errcode === undefined) return code === undefined ? undefined : (FILE_FAULTS[code] ?? code);
  return SQLITE_FAULTS[errcode] ?? SQLITE_FAULTS[errcode & 0xff] ?? `SQLite says ${errcode}`;
}

const SQLITE_FAULTS: Readonly<Record<number, string>> = {
  3: 'the store cannot be accessed (permissions)',
  5: 'another process holds the store',
  6: 'another process holds the store',
  8: "the store's file or disk is read-only",
  10: "the store's disk fails (I/O error)",
  11: 'the store is damaged: run curfew-broker audit verify',
  13: "no space is left on the store's disk",
  14: "the store's file cannot be opened: its folder must be there and be writable",
  26: "the store's file is not a database",
  // SQLITE_IOERR_SHMSIZE: the index beside the log cannot grow.
  4874: "no space is left on the store's disk",
};
/** By SQLSTATE, or its class (postgresql.org/docs/15/errcodes-appendix.html). */
const POSTGRES_FAULTS: Readonly<Record<string, string>> = {
  '01000': 'the database did not wait for its standby: what was written may be lost with it',
  '08': 'the connection to the database was lost',
  '25006': 'the database takes no writes: it is a standby',
  '25P03': 'the database gave up a transaction that stood still',
  '28': "the database refuses the broker's user or password",
  '3D000': 'there is no such database',
  '40': 'the database could not finish a transaction beside others',
  '42501': "the broker's user may not do that in the database",
  '53100': "no space is left on the database's disk",
  '53300': 'the database has too many connections',
  '55P03': 'the database could not lock a row in time',
  '57014': 'the database gave up a statement that took too long',
  '57P': 'the database is starting or ending',
};
const FILE_FAULTS: Readonly<Record<string, string>> = {
  ENOSPC: "no space is left on the store's disk",
  EDQUOT: "no space is left on the store's disk (quota)",
  EROFS: "the store's file or disk is read-only",
  EIO: "the store's disk fails (I/O error)",
  ECONNREFUSED: 'the database does not accept connections',
  ECONNRESET: 'the connection to the database was lost',
  ENOTFOUND: "the database's host name is not known",
  ETIMEDOUT: 'the database does not answer',
};

/** Whether it is the disk's fault, and no setting's. */
export function isDiskFault(error: unknown): boolean {
  const { errcode, code } = causeOf(error);
  if (errcode !== undefined) return [10, 13].includes(errcode & 0xff);
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EIO';
}

function causeOf(error: unknown): { readonly errcode?: number; readonly code?: string } {
  let inner = error;
  for (let depth = 0; depth < 5 && inner instanceof Error; depth++) {
    if ('errcode' in inner && typeof inner.errcode === 'number') return { errcode: inner.errcode };
    if ('code' in inner && typeof inner.code === 'string' && /^(?:E[A-Z]+|[0-9A-Z]{5})$/.test(inner.code))
      return { code: inner.code };
    inner = inner.cause;
  }
  return {};
}
