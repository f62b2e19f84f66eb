// Signals that could not be taken, and are to come again: each is counted, and said at once in log and audit log. Whoever sends
// them may wait for hours before the next try, and until then somebody continues whose session is over at the identity provider.

import type { FastifyRequest, onErrorHookHandler, onResponseHookHandler } from 'fastify';
import { CurfewError } from '../../shared/errors.ts';
import type { SignalSource } from '../audit_log/events.ts';
import type { Broker } from '../broker.ts';
import { recordStranger } from '../outcome/refused.ts';
import { Rarely } from '../refusals/rarely.ts';

interface Hooks {
  readonly onError: onErrorHookHandler;
  readonly onResponse: onResponseHookHandler;
}

/** What it takes to say so. */
export type PutOffParts = Pick<Broker, 'store' | 'refusals' | 'metrics' | 'log' | 'now'>;

/** For the route where signals come in. Strangers can cause it too: one line for each kind, and one row for each kind and address, in a minute. */
export function watchPutOff(broker: PutOffParts, source: SignalSource): Hooks {
  const said = new Rarely();
  const faults = new WeakMap<FastifyRequest, unknown>();
  return {
    async onError(request, _reply, error) {
      faults.set(request, error);
    },
    async onResponse(request, { statusCode }) {
      if (statusCode < 500) return;
      const fault = faults.get(request);
      const code = fault instanceof CurfewError ? fault.code : statusCode === 503 ? 'unavailable' : 'internal';
      const { address } = request;
      broker.metrics.signalPutOff(source, code);
      const unsaid = said.note(code, broker.now());
      if (unsaid !== undefined) {
        const reason = fault instanceof CurfewError ? fault.message : 'unexpected error';
        const facts = { source, code, reason, address, ...(unsaid > 0 && { unsaid }) };
        broker.log.error(facts, 'a signal of the identity provider was put off: it must come again');
      }
      // Not where it is the store that fails.
      await recordStranger(broker, source, code, address).catch(() => undefined);
    },
  };
}
