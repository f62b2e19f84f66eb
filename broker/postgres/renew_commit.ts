// What a renewal writes, as one function of the database: all of it, or nothing. Each statement in it sees what was committed before it.

import { LOCK } from './locks.ts';

/** SQLSTATEs of our own, by which it undoes what it has done. */
export const REPLAYED = 'CF001';
export const LANE_MOVED = 'CF002';

/**
 * In the order in which transactions hold them: the store, the session's row, the proof, the lane. The row is the one that was read as
 * long as its version (`xmin`) is: whatever changes a session makes another. Who waits for it sees it as it is then. What was decided by a
 * clock that is behind another's is decided again, by a transaction, which observes that.
 *
 * Part of the tables: a later version of it gets another name, and this one stays for a release.
 */
export const RENEW_COMMIT = `
create function renew_commit(
  of_sid text, as_read text, used bigint, idle bigint, all_gaps text, new_exp bigint, new_most bigint, new_over bigint,
  proof_minute bigint, proof_hash bytea, with_kid text, in_epoch bigint, reader bigint,
  of_lane bigint, from_seq bigint, from_hash text, new_hash text, new_seal text, instant bigint,
  row_at bigint, row_event text, row_data text) returns boolean language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(${LOCK.store}, 0);
  if not exists (
    select from store_state join signing_key on kid = with_kid
    where store_state.id = 1 and epoch = in_epoch and oldest_reader <= reader and store_state.newest <= row_at)
    or exists (select from audit_lane where newest > row_at) then return false; end if;
  update session set last_used = used, longest_idle = idle, gaps = all_gaps, token_exp = new_exp, end_at_most = new_most,
    over_at = new_over where sid = of_sid and xmin = as_read::xid and ended_at is null;
  if not found then return false; end if;
  insert into proof (minute, hash) values (proof_minute, proof_hash) on conflict do nothing;
  if not found then raise exception 'the proof was used before' using errcode = '${REPLAYED}'; end if;
  update audit_lane set seq = from_seq + 1, hash = new_hash, seal = new_seal, newest = greatest(newest, instant)
    where lane = of_lane and seq = from_seq and hash = from_hash;
  if not found then raise exception 'the lane is elsewhere' using errcode = '${LANE_MOVED}'; end if;
  insert into audit (lane, seq, at, event, sid, data, hash)
    values (of_lane, from_seq + 1, row_at, row_event, of_sid, row_data, new_hash);
  return true;
end $$`;
