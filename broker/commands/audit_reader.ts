// Opens the audit log to read it, in whichever database the configuration says that it is.

import { CurfewError } from '../../shared/errors.ts';
import type { AuditReader } from '../audit_log/reader.ts';
import type { PostgresSettings, SqlitePlace } from '../config/settings.ts';
import { openPostgresAuditLog } from '../postgres/audit_log.ts';
import { newestFirst } from '../postgres/newest_first.ts';
import { openSqliteAuditLog } from '../store/audit_log.ts';

/** Where it is: it takes one connection to read. */
export type Places =
  | SqlitePlace
  | { readonly postgres: Omit<PostgresSettings, 'connections'>; readonly sqlite?: undefined };

/**
 * Closed after the story.
 *
 * @throws CurfewError `configuration` when there is no store to read, `store` when it cannot be read on
 */
export async function reading<T>(places: Places, story: (log: AuditReader) => Promise<T>): Promise<T> {
  const log = places.postgres
    ? await openPostgresAuditLog(await newestFirst({ ...places.postgres, application: 'curfew-broker audit' }))
    : await openSqliteAuditLog(places.sqlite.file);
  try {
    return await story(log);
  } catch (cause) {
    if (cause instanceof CurfewError) throw cause;
    throw new CurfewError('store', `${log.name} cannot be read`, { cause });
  } finally {
    await log.close();
  }
}
