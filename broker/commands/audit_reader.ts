// Opens the audit log to read it, in whichever database the configuration says that it is.

import { CurfewError } from '../../shared/errors.ts';
import type { AuditReader } from '../audit_log/reader.ts';
import { openPostgresAuditLog } from '../postgres/audit_log.ts';
import type { ConnectOptions } from '../postgres/client.ts';
import { openSqliteAuditLog } from '../store/audit_log.ts';

/** Where it is. */
export type Places =
  | { readonly sqlite: { readonly file: string }; readonly postgres?: undefined }
  | { readonly postgres: Pick<ConnectOptions, 'address' | 'ca'>; readonly sqlite?: undefined };

/**
 * Closed after the story.
 *
 * @throws CurfewError `configuration` when there is no store to read, `store` when it cannot be read on
 */
export async function reading<T>(places: Places, story: (log: AuditReader) => Promise<T>): Promise<T> {
  const log = places.postgres
    ? await openPostgresAuditLog({ ...places.postgres, application: 'curfew-broker audit' })
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
