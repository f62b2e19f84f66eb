// What shows that a file is as it was written: damage, not attack. The native program has the same in C (shell.c).

/**
 * Two sums of 32 bits over the UTF-8 bytes.
 *
 * @returns 16 hexadecimal digits
 */
export function checksum(text: string): string {
  let [a, b] = [0x811c9dc5, 0x01000193];
  for (const byte of Buffer.from(text)) {
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b + byte, 0x85ebca6b);
    b ^= b >>> 13;
  }
  return [a, b].map((sum) => (sum >>> 0).toString(16).padStart(8, '0')).join('');
}
