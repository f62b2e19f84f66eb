// The files of a server's TLS as settings name them: their shape, and whether they can be used.

import path from 'node:path';
import { z } from 'zod';
import { readCa, readText, type Surroundings } from './named_files.ts';
import { faultOfPair, type TlsFiles } from './tls.ts';
import * as value from './values.ts';

const PAIR = { cert_file: value.filePath, key_file: value.filePath };

/** Of a server for people. */
export const tlsShape = z.strictObject(PAIR);

/** Of one whose callers may be programs that have a certificate. */
export const tlsShapeWithClients = z.strictObject({ ...PAIR, client_ca_file: value.filePath.optional() });

/** @param setting that names them @returns absolute paths */
export async function readTlsFiles(
  setting: string,
  tls: TlsFiles,
  around: Surroundings,
  faults: string[],
): Promise<TlsFiles> {
  const cert = await readText(`${setting}.cert_file`, tls.cert_file, around, faults);
  const key = await readText(`${setting}.key_file`, tls.key_file, around, faults);
  const fault = cert && key && faultOfPair(cert.text, key.text);
  if (fault) faults.push(`${setting}: ${fault}`);
  await readCa(`${setting}.client_ca_file`, tls.client_ca_file, around, faults);
  const at = (file: string) => path.resolve(around.folder, file);
  const { client_ca_file: client_ca } = tls;
  return {
    ...{ cert_file: at(tls.cert_file), key_file: at(tls.key_file) },
    ...(client_ca !== undefined && { client_ca_file: at(client_ca) }),
  };
}
