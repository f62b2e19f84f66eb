// The token by which the broker knows this gateway: its file is read again whenever it is written, so that it can be replaced while
// streams are open.

import type { KeyObject } from 'node:crypto';
import path from 'node:path';
import type { BaseLogger } from 'pino';
import { readSecret } from '../../serving/config/named_files.ts';
import { readRegularFile } from '../../serving/files/regular_file.ts';
import { watchFiles } from '../../serving/files/watch.ts';

const SETTING = 'broker.token_file';

/**
 * @param file absolute
 * @param first what was read of it at the start
 * @param taken is called with what is there instead from then on
 * @returns a function that stops it
 */
export function watchToken(
  file: string,
  first: KeyObject,
  taken: (token: KeyObject) => void,
  log: Pick<BaseLogger, 'info' | 'warn' | 'error'>,
): () => void {
  let [used, refused] = [first, ''];
  const around = { folder: path.dirname(file), variable: () => undefined, readFile: readRegularFile };
  const reload = async () => {
    const faults: string[] = [];
    const token = await readSecret(SETTING, file, around, faults);
    const reason = faults.join('; ');
    if (token && reason === '') {
      refused = '';
      if (token.equals(used)) return;
      used = token;
      taken(token);
      log.info({ file }, 'token for the broker reloaded');
      return;
    }
    // said once: it is found again at every look
    if (reason !== refused) log.error({ file, reason }, 'token for the broker not reloaded, the old one stays');
    refused = reason;
  };
  return watchFiles([file], reload, { log });
}
