// Words of a kubeconfig that YAML takes for something else, or that stand there in quotes alone.

export const ODD_WORDS = [
  ...['yes', 'on', 'null', '~', '0123', '1e3', '1.2.3', '2026-11-26'],
  ...['a b', 'a: b', ':x', 'x:', '# no', '- x', '@x', "it's", '"q"', 'ü'],
] as const;
