// How the plugin names itself to broker and identity provider.

/** As in the package; a test compares. */
export const VERSION = '0.5.0';

/** RFC 9110 section 10.1.5. The broker shows it with the session that was opened so. */
export function userAgent(platform: NodeJS.Platform): string {
  return `kubectl-curfew/${VERSION} (${platform})`;
}
