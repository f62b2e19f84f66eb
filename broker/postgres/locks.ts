// Advisory locks beside those by name.

/** Classes: for lanes, and for all of the store. */
export const LOCK = { lane: 7_206_001, store: 7_206_002 } as const;
