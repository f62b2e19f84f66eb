// Of inputs that were kept the few that together reach all that they reach: the shortest first.

import type { Loaded } from './load.ts';

/** More would only make the replay long. */
const MOST = 100;
const LONGEST_BYTES = 4_096;

/** Without the target's own seeds, which are run anyway. */
export async function smallest(
  { targets, coverage }: Loaded,
  name: string,
  inputs: readonly string[],
): Promise<readonly string[]> {
  const target = targets[name];
  if (!target) throw new TypeError(`there is no target ${name}`);
  const reaches = async (input: string) => {
    coverage.begin();
    await target.run(input);
    return coverage.isNew();
  };
  coverage.forget();
  for (const seed of target.seeds) await reaches(seed);
  const chosen: string[] = [];
  const candidates = inputs.filter((input) => input.length <= LONGEST_BYTES).toSorted((a, b) => a.length - b.length);
  for (const input of candidates) if (chosen.length < MOST && (await reaches(input))) chosen.push(input);
  return chosen;
}
