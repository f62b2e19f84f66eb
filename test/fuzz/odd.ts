// Texts, numbers and values that parsers trip over.

/** Bytes, each as a character. */
export const ODD: readonly string[] = [
  ...['\0', '\n', '\r\n', '\t', ' ', '\x85', '\xff', '\xc0\x80', '\xed\xa0\x80', '\xef\xbb\xbf', '\xe2\x80\xae'],
  ...[
    '%',
    '%00',
    '%FF',
    '%zz',
    '%2f',
    '%2e%2e',
    '%23',
    '%3f',
    '+',
    '=',
    '==',
    '&',
    '&&',
    ';',
    ',',
    '.',
    '..',
    '/',
    '//',
  ],
  ...['?', '??', '#', '\\', ':', '::', '::1', '[::1]:80', '127.0.0.1', '1.2.3.4:5', '::ffff:1.2.3.4', 'fe80::1%eth0'],
  ...['[', ']', '{', '}', '[]', '{}', '"', "'", '\\u0000', '__proto__', 'constructor', 'toString', 'null', 'true'],
  ...['---\n', '- ', '? ', '&a ', '*a', '<<: *a', '!!binary ', '| ', '> ', '~', '\n  ', '\n- ', ': ', ' #'],
  ...['0', '-0', '-1', '1e400', '1.5', '0x10', 'NaN', 'Infinity'],
];

export const NUMBERS: readonly string[] = [
  ...['0', '1', '-1', '1.5', '1e400', '2147483648', '9007199254740991', '9007199254740992', '18446744073709551616'],
];

export const VALUES: readonly unknown[] = [
  ...[null, true, false, 0, -1, 1, 1.5, 1e308, Number.MAX_SAFE_INTEGER, 8_640_000_000_000, '', 'a', '\u202e', '\ud800'],
  ...[[], {}, [null], [''], ['b64'], ['exp'], { a: 1 }],
];
