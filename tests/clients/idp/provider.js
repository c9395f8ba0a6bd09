// An identity provider whose keys can be rotated while it runs.

import { randomUUID } from 'node:crypto';
import http from 'node:http';

import Provider from 'oidc-provider';

const RESOURCE = 'urn:logkey';
const client = (tenant, alg) => ({
  client_id: `${tenant}-${alg}`,
  client_secret: 'a-secret-for-tests',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
});

export async function key(kid, alg) {
  const algorithm = alg === 'RS256'
    ? { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' }
    : { name: 'ECDSA', namedCurve: 'P-256' };
  const pair = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const { ext, key_ops: operations, ...jwk } = await crypto.subtle.exportKey('jwk', pair.privateKey);
  return { ...jwk, kid, alg, use: 'sig' };
}

export class Idp {
  /** Starts a provider on a free local port. */
  static async start(keys) {
    const idp = new Idp();
    idp.discoveryRequests = 0;
    idp.server = http.createServer((request, response) => {
      if (request.url.includes('.well-known/openid-configuration')) idp.discoveryRequests += 1;
      idp.handle(request, response);
    });
    await new Promise((listening) => { idp.server.listen(0, '127.0.0.1', listening); });
    idp.issuer = `http://127.0.0.1:${idp.server.address().port}`;
    idp.rotate(keys);
    return idp;
  }

  /** From now on, signs with these keys and publishes only them. */
  rotate(keys) {
    const provider = new Provider(this.issuer, {
      clients: ['payments', 'unknown'].flatMap((tenant) => [client(tenant, 'RS256'), client(tenant, 'ES256')]),
      cookies: { keys: [randomUUID()] },
      jwks: { keys },
      scopes: ['logkey:read', 'logkey:associate'],
      features: {
        clientCredentials: { enabled: true },
        devInteractions: { enabled: false },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_context, resource, { clientId }) => ({
            scope: 'logkey:read logkey:associate',
            audience: resource === RESOURCE ? 'logkey' : 'another-service',
            accessTokenTTL: 300,
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: clientId.split('-')[1] } },
          }),
        },
      },
      extraTokenClaims: (_context, token) => ({ tenant: token.clientId.split('-')[0] }),
    });
    this.handle = provider.callback();
  }

  /** An access token from the client credentials flow. */
  async token(clientId, { resource = RESOURCE, scope = 'logkey:read' } = {}) {
    const answer = await fetch(`${this.issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa(`${clientId}:a-secret-for-tests`)}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', resource, scope }),
    });
    const body = await answer.json();
    if (!answer.ok) throw new Error(JSON.stringify(body));
    return body.access_token;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
