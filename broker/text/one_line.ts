// Texts of others in a line for a person: names in a cluster, and words of whoever answers, are anybody's.

export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').slice(0, 500);
}
