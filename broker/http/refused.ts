// What is wrong with a request of a program that somebody has set up, in our own words, so that there are few: for a line of the log.

import { CurfewError, meaning } from '../../shared/errors.ts';

/**
 * @param what was sent, such as `review`
 * @param largest bytes of it
 * @returns `undefined` for what is a failure and has its own line
 */
export function faultOfRequest(
  error: Error & { readonly statusCode?: number },
  what: string,
  largest: number,
): string | undefined {
  if (error instanceof CurfewError) return meaning(error.code).status < 500 ? error.message : undefined;
  switch (error.statusCode) {
    case 413:
      return `the ${what} is larger than ${largest / 1024} KiB`;
    case 415:
      return 'expected application/json';
    default:
      return (error.statusCode ?? 500) < 500 ? 'the request cannot be read' : undefined;
  }
}
