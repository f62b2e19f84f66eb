// While the event loop is late, new requests are sent away before it stalls: first those of connections on which the API server has let
// nobody in, at last all. What is open goes on, and ends are never kept waiting: they come by the broker's feed.

/** From which delay of the event loop on, in milliseconds. */
const LATE_MS = { unproven: 250, proven: 1_000 };

/** @param delay of the event loop, in milliseconds @param proven whether the API server has let somebody in on the connection */
export function sendsAway(delay: number, proven: boolean): boolean {
  return delay >= (proven ? LATE_MS.proven : LATE_MS.unproven);
}
