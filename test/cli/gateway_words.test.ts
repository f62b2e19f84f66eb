// What a gateway says of an end, as the plugin tells it: by the gateway's own words for each.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { errorOf } from '../../cli/targets/words.ts';
import { denialOf, idleAlone, KEY_REVOKED, LOST_BROKER, noLease, type Refusal, STOPPING } from '../../gateway/words.ts';
import { decide } from '../../shared/decide.ts';
import { EXIT, meaning } from '../../shared/errors.ts';
import { END_REASONS } from '../../shared/session.ts';
import { seconds } from '../../shared/time.ts';

const CLIENT = { url: 'https://curfew.example.com', is_default: true };
const tell = ({ code, message }: Refusal) => {
  const error = errorOf(CLIENT, { code, message }, 'closed: ');
  return { exit: meaning(error.code).exit, message: error.message, hint: error.hint };
};
const LIMITS = { max_age: seconds(900), inactivity_timeout: seconds(600), token_ttl: seconds(60) };

describe('what a gateway says of an end', () => {
  it('of a session is 77, and leads to a login, whatever ended it', () => {
    for (const end_reason of END_REASONS) {
      const denied = { allow: false, reason: 'session_ended', since: seconds(60), end_reason } as const;
      const { exit, hint, message } = tell(denialOf(denied, undefined, undefined));
      assert.equal(exit, EXIT.login_required, end_reason);
      assert.match(hint, /kubectl curfew login/, end_reason);
      assert.match(message, /^closed: [^;]+$/, end_reason);
    }
    const old = { auth_time: seconds(0), last_used: seconds(1_000) };
    const denied = decide({ session: LIMITS, target: LIMITS }, { ...old, end_at_most: seconds(900) }, seconds(1_000));
    assert.ok(!denied.allow);
    assert.equal(tell(denialOf(denied, undefined, undefined)).exit, EXIT.login_required);
    assert.equal(tell(KEY_REVOKED).exit, EXIT.login_required);
    assert.equal(
      tell(noLease('not_admitted', 'no such target, or you have no access to it')).exit,
      EXIT.login_required,
    );
  });

  it('of a connection or of a gateway alone is none of the session', () => {
    const idle = { allow: false, reason: 'idle_too_long', since: seconds(60), limit: seconds(600) } as const;
    assert.deepEqual(tell(idleAlone(idle)), {
      exit: EXIT.try_again,
      message: 'closed: nothing was sent on this connection for 10m',
      hint: 'connect again',
    });
    assert.equal(tell(STOPPING).exit, EXIT.try_again);
    assert.deepEqual(tell(LOST_BROKER), {
      exit: EXIT.try_again,
      message: 'closed: the gateway does not reach the broker, so nothing passes',
      hint: 'try again',
    });
  });
});
