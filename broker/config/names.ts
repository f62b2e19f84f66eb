// Names that are rights in Kubernetes.

import { INVISIBLE } from '../text/names.ts';

export const UNSEEN = new RegExp(`${INVISIBLE.source}|\\p{White_Space}`, 'gu');
/** Whether a name begins with `system:` in any spelling: such names are rights in Kubernetes, and it does not refuse them. */
export function isReserved(name: string): boolean {
  const seen = bare(bare(name).normalize('NFKC'));
  return seen.toUpperCase().toLowerCase().startsWith('system:');
}

function bare(name: string): string {
  return name.replaceAll(UNSEEN, '');
}
