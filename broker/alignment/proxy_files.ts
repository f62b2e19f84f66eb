// Files of proxies against the table, each in the terms of its own program.

import type { WholeLimits } from '../../shared/limits.ts';
import type { RawFile } from '../manifests/raw.ts';
import { judgeEnvoy } from './envoy_file.ts';
import type { Report, Subject } from './finding.ts';
import { judgeHaproxy } from './haproxy_file.ts';
import { judgeNftables } from './nftables_file.ts';
import { judgeNginx } from './nginx_file.ts';
import { judgeTraefik } from './traefik_file.ts';

export function judgeFile(file: RawFile, limits: WholeLimits, report: Report): void {
  const title = file.of && `${file.of.kind} ${file.of.name}, ${file.name}`;
  const subject: Subject = { place: file.place, title };
  switch (file.is) {
    case 'nginx':
      judgeNginx(file, subject, limits, report);
      break;
    case 'haproxy':
      judgeHaproxy(file, subject, limits, report);
      break;
    case 'nftables':
      judgeNftables(file, subject, limits, report);
      break;
    case 'envoy':
      judgeEnvoy(file, subject, limits, report);
      break;
    case 'traefik':
      judgeTraefik(file, subject, limits, report);
      break;
    case 'oauth2_proxy':
      // With whatever runs it.
      break;
  }
}
