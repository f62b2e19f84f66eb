// Where what is large and takes long to make is kept: outside the checkout, for all checkouts of a person.

import { homedir } from 'node:os';
import { join } from 'node:path';

export function cacheFolder(): string {
  const { CURFEW_TEST_CACHE, XDG_CACHE_HOME } = process.env;
  return join(CURFEW_TEST_CACHE || XDG_CACHE_HOME || join(homedir(), '.cache'), 'curfew-test');
}
