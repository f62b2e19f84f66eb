// That whoever was answered by https once comes by https alone from then on (RFC 6797). Of the host itself: what is below it may be others'. Never on
// an answer by plain http (7.2), nor on one that is not ours.

export const HSTS = ['Strict-Transport-Security', 'max-age=31536000'] as const;
