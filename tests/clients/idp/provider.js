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

// A program on the computer of a person has no secret.
const device = {
  client_id: 'payments-ES256-cli',
  token_endpoint_auth_method: 'none',
  grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
  redirect_uris: [],
  response_types: [],
};

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
      clients: [
        ...['payments', 'unknown'].flatMap((tenant) => [client(tenant, 'RS256'), client(tenant, 'ES256')]),
        device,
      ],
      cookies: { keys: [randomUUID()] },
      jwks: { keys },
      scopes: ['logkey:read', 'logkey:associate'],
      features: {
        clientCredentials: { enabled: true },
        deviceFlow: { enabled: true },
        // The pages on which a person logs in and consents.
        devInteractions: { enabled: true },
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
      issueRefreshToken: (_context, { grantTypes }) => grantTypes.includes('refresh_token'),
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

  /** Decides on a login of the device flow, as a person does in a browser: opens the page and submits its forms. */
  async decide(url, { approve = true } = {}) {
    const cookies = new Map();
    const person = { login: 'ana', password: 'not checked', [approve ? 'confirm' : 'abort']: 'yes' };
    let request = { url, init: {} };
    for (let page = 0; page < 20; page += 1) {
      const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      const answer = await fetch(request.url, { ...request.init, headers: { cookie }, redirect: 'manual' });
      for (const line of answer.headers.getSetCookie()) {
        const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
        cookies.set(name, value);
      }
      const [location, html] = [answer.headers.get('location'), await answer.text()];
      const form = html.match(/<form[^]*?<\/form>/)?.[0];
      if (location) {
        request = { url: new URL(location, request.url).href, init: {} };
      } else if (form && !form.includes('op.deviceInputForm')) { // It asks for the code of another login.
        const inputs = [...form.matchAll(/<input[^>]*>/g)].map(([tag]) => ['name', 'value']
          .map((of) => tag.match(new RegExp(`${of}="([^"]*)"`))?.[1] ?? ''));
        const body = new URLSearchParams({ ...Object.fromEntries(inputs.filter(([name]) => name)), ...person });
        request = { url: new URL(form.match(/action="([^"]*)"/)[1], request.url).href, init: { method: 'POST', body } };
      } else {
        return html;
      }
    }
    throw new Error(`${url}: too many pages`);
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
