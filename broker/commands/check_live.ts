// `curfew-broker check --live`: whether what runs works together.

import { EXIT } from '../../shared/errors.ts';
import type { Config } from '../config/settings.ts';
import { type LookParts, lookAtAll } from '../live/look.ts';
import { printSeen, printSeenAsJson } from '../live/seen.ts';
import type { Checked } from './check.ts';

/** @returns exit status 1 if a check failed; one that cannot be made from this machine does not count as a failure */
export async function checkLive(config: Config, parts: LookParts, json: boolean): Promise<Checked> {
  const seen = await lookAtAll(config, parts);
  return {
    lines: json ? printSeenAsJson(seen) : printSeen(seen),
    exit: seen.every(({ state }) => state !== 'fault') ? EXIT.done : EXIT.findings,
  };
}
