// Groups by the identity provider's names.

/**
 * Whether a list of a setting (`allowed_groups`) lets someone with these groups in. Names as the IdP gives them.
 */
export function admits(allowed: readonly string[], idp_groups: readonly string[]): boolean {
  return allowed.some((group) => group === '*' || idp_groups.includes(group));
}
