// Why an API server gave no answer, in words: only the code is taken from an error, as texts of others may carry more.

export function sayFailure(error: unknown): string {
  if (error instanceof Error && ['TimeoutError', 'AbortError'].includes(error.name)) return 'did not answer in time';
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'no code';
  return /CERT|SELF_SIGNED|ISSUER|ERR_TLS|SIGNATURE/.test(code)
    ? `has a certificate that is not trusted (${code}): see ca_file`
    : `cannot be reached (${code})`;
}
