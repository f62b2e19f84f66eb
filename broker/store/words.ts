// What went wrong with the store, in words that a person can act on. By SQLite's result codes (sqlite.org/rescode.html).

/** @returns `undefined` where it is nothing that SQLite or the file system names */
export function sayStoreFault(error: unknown): string | undefined {
  const { errcode, code } = causeOf(error);
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
const FILE_FAULTS: Readonly<Record<string, string>> = {
  ENOSPC: "no space is left on the store's disk",
  EDQUOT: "no space is left on the store's disk (quota)",
  EROFS: "the store's file or disk is read-only",
  EIO: "the store's disk fails (I/O error)",
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
    if ('code' in inner && typeof inner.code === 'string' && /^E[A-Z]+$/.test(inner.code)) return { code: inner.code };
    inner = inner.cause;
  }
  return {};
}
