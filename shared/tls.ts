// Which TLS is spoken, by servers and clients alike: 1.2 and later, and only suites that encrypt and authenticate in one step (AEAD), with keys that are
// forgotten (RFC 9325 4.2). Said outright, so that no option of Node.js and no variable of the environment makes it less.

const SUITES = [
  ...['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'],
  ...['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256'],
  ...['ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-RSA-AES256-GCM-SHA384'],
  ...['ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305'],
];

/** For `tls.connect`, agents and secure contexts. A context that is made without it falls back to Node's own. */
export const STRONG_TLS = { minVersion: 'TLSv1.2', ciphers: SUITES.join(':') } as const;
