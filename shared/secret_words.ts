// Texts that look like secrets by their form alone, wherever they are: what audits must not print.

/** What looks like a secret wherever it is. */
export function looksSecret(text: string): boolean {
  return SECRETS.test(text) || isEncodedKey(text);
}

const SECRETS =
  /\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*|-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(?:gh[opsu]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|dop_v1_\w{20,}|hv[bs]\.[\w-]{20,}|xox[abps]-[\w-]{10,}|k8s-aws-v1\.[\w-]{10,})|\bsha256~[\w-]{20,}|\bBearer\s+[\w.~+/-]{12,}/;

/** A PEM private key, encoded once more as kubeconfig does it. */
function isEncodedKey(text: string): boolean {
  for (const [run] of text.matchAll(/LS0tLS1CRUdJTi[A-Za-z0-9+/]{10,}/g)) {
    const start = run.slice(0, Math.min(64, run.length - (run.length % 4)));
    if (/PRIVATE/.test(atob(start))) return true;
  }
  return false;
}
