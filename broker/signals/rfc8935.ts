// The words in which a SET is refused (RFC 8935 2.4, as RFC 8936 2.6 uses them too).

import type { Code } from '../../shared/errors.ts';

/** RFC 8935 7.1 */
export type Err =
  | 'invalid_request'
  | 'invalid_key'
  | 'invalid_issuer'
  | 'invalid_audience'
  | 'authentication_failed'
  | 'access_denied';

export interface SetError {
  readonly err: Err;
  readonly description: string;
}

export function errOf(code: Code): Err {
  switch (code) {
    case 'set_key':
      return 'invalid_key';
    case 'set_issuer':
      return 'invalid_issuer';
    case 'set_audience':
      return 'invalid_audience';
    case 'set_authentication':
      return 'authentication_failed';
    case 'set_not_allowed':
      return 'access_denied';
    default:
      return 'invalid_request';
  }
}
