// What webhooks of kube-apiserver are answered, as metrics name it.

/** `refused`: the caller or its question was not taken. `failed`: no answer could be given. */
export const WEBHOOK_OUTCOMES = {
  authorize: ['no_opinion', 'denied', 'refused', 'failed'],
  authenticate: ['authenticated', 'not_authenticated', 'refused', 'failed'],
} as const;

export type Webhook = keyof typeof WEBHOOK_OUTCOMES;
export type WebhookOutcome = (typeof WEBHOOK_OUTCOMES)[Webhook][number];
