// What `check` says of the authorities of client certificates: whether anybody can have a certificate that is believed.

import { X509Certificate } from 'node:crypto';
import { certificatesIn } from '../../serving/config/named_files.ts';
import { fromMilliseconds, over, type Seconds } from '../../shared/time.ts';
import type { Cluster } from '../config/settings.ts';
import { error, type Finding } from './finding.ts';

/** @param client_ca PEM, which can be parsed */
export function checkClientAuthorities(
  client_ca: string | undefined,
  clusters: readonly Pick<Cluster, 'name' | 'webhook'>[],
  now: Seconds,
): Finding[] {
  const signs = (block: string) => {
    const { ca, validToDate } = new X509Certificate(block);
    return ca && !over(fromMilliseconds(validToDate.getTime()), now);
  };
  if (client_ca === undefined || certificatesIn(client_ca).some(signs)) return [];
  const why =
    'nobody can have a certificate of listen.tls.client_ca_file: none in it is of an authority that has not expired';
  return [
    error(why),
    ...clusters.flatMap(({ name, webhook }) =>
      webhook?.client_certificate ? [error(`cluster ${name}: webhook.client_certificate: ${why}`)] : [],
    ),
  ];
}
