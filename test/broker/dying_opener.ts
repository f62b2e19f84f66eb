// Opens the store that is named, and dies by kill -9 in the middle of its migration: when the audit log is about to be sealed.

import { openSqlite } from '../../broker/store/sqlite.ts';
import { SqliteStore } from '../../broker/store/sqlite_store.ts';

const seal = () => {
  process.kill(process.pid, 'SIGKILL');
  return '';
};
await SqliteStore.open(openSqlite(process.argv[2] ?? ''), {
  sealer: { seal, isSealed: () => true },
  onAudit: () => undefined,
  onBroken: () => undefined,
});
