// What `check` says of a certificate's end.

import { sayDuration } from '../../shared/duration.ts';
import { between, over, type Seconds } from '../../shared/time.ts';
import { error, type Finding, warning } from './finding.ts';

/** Seconds before the end from which on it is said. */
const SOON = 7 * 86_400;

/** @param whose names the certificate */
export function checkLapse(whose: string, end: Seconds, now: Seconds): Finding[] {
  if (over(end, now)) return [error(`${whose}: the certificate has expired`)];
  const left = between(now, end);
  return left < SOON ? [warning(`${whose}: the certificate expires in ${sayDuration(left)}`)] : [];
}
