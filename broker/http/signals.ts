// What the identity provider sends us: logout tokens (OpenID Connect Back-Channel Logout 1.0), and security events that are
// pushed (RFC 8935).

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { answerOf, CurfewError } from '../../shared/errors.ts';
import { ownerOfBearer } from '../net/bearer.ts';
import type { SignalParts } from '../signals/act.ts';
import { receiveLogout } from '../signals/logout.ts';
import { receiveSet } from '../signals/receive_set.ts';
import { errOf, type SetError } from '../signals/rfc8935.ts';
import { type Form, LARGEST_BODY_BYTES, required } from './form.ts';
import { type PutOffParts, watchPutOff } from './put_off.ts';
import { type Edge, respond } from './respond.ts';

/** In the scope of `tokenRoutes`, whose parser of forms it uses. */
export function logoutRoute(app: FastifyInstance, broker: SignalParts & PutOffParts): void {
  const watched = watchPutOff(broker, 'backchannel_logout');
  const edge: Edge = { grant: 'backchannel_logout' };
  app.post<{ Body: Form | undefined }>('/backchannel-logout', watched, (request, reply) =>
    respond(broker, edge, request, reply, async () => {
      await receiveLogout(broker, required(request.body ?? new Map(), 'logout_token'), request.address);
      return undefined;
    }),
  );
}

/** In a scope of its own, as it takes another type of body. */
export function pushRoute(app: FastifyInstance, broker: SignalParts & PutOffParts): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/secevent+jwt',
    { parseAs: 'string', bodyLimit: LARGEST_BODY_BYTES },
    async (_request: FastifyRequest, body: string) => body,
  );
  app.setErrorHandler((error, _request, reply) => {
    // Too large, or of another type: RFC 8935 2.4 has one word for both.
    const { statusCode } = error as { statusCode?: number };
    if (error instanceof CurfewError || statusCode === undefined || statusCode >= 500) throw error;
    return refuse(reply, statusCode, {
      err: 'invalid_request',
      description: 'expected one SET as application/secevent+jwt',
    });
  });
  const edge: Edge = {
    grant: 'push',
    sendError(reply, error) {
      const { status } = answerOf(error);
      if (status === 401) reply.header('WWW-Authenticate', 'Bearer');
      else broker.log.error({ code: error.code, reason: error.message }, 'a security event was refused');
      return refuse(reply, status, { err: errOf(error.code), description: error.message });
    },
  };
  app.post<{ Body: string | undefined }>('/ssf/events', watchPutOff(broker, 'push'), (request, reply) =>
    respond(broker, edge, request, reply.code(202), async () => {
      const { authorization } = request.headers;
      const transmitter = ownerOfBearer(broker.config.ssf, ({ push }) => push?.token, authorization);
      if (!transmitter) throw new CurfewError('set_authentication', 'the bearer token is not that of a transmitter');
      await receiveSet(broker, request.body ?? '', { source: 'push', transmitter, address: request.address });
      return undefined;
    }),
  );
}

function refuse(reply: FastifyReply, status: number, error: SetError): FastifyReply {
  return reply.code(status).header('Content-Language', 'en').type('application/json').send(error);
}
