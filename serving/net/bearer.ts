// Bearer tokens as they are written.

/** RFC 6750 2.1 */
export function isBearer(text: string): boolean {
  return /^[A-Za-z0-9._~+/-]+=*$/.test(text.trim());
}
