// Tests the real binary with tokens of Dex. Dex issues ID tokens as its only signed tokens. The service accepts
// them only if the issuer has accept_id_tokens.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';

import grpc from '@grpc/grpc-js';

import { Service, freePort } from './service.js';

const REDIRECT = 'http://127.0.0.1/callback';
const refused = { code: grpc.status.UNAUTHENTICATED };
const reads = 'default_scopes = ["logkey:read"]\ntenant_claim = "email"\npolicy_claims = ["groups"]\n';
const tenant = 'claim_values = ["kilgore@kilgore.trout"]';

class Dex {
  static async start(port) {
    const dex = new Dex();
    dex.port = port ?? await freePort();
    dex.issuer = `http://127.0.0.1:${dex.port}`;
    const args = [`127.0.0.1:${dex.port}`, REDIRECT, process.env.DEX_WEB];
    dex.process = spawn(process.env.DEX, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    dex.ended = new Promise((ended) => { dex.process.once('exit', ended); });
    const end = Date.now() + 30_000;
    for (;;) {
      try {
        if ((await fetch(`${dex.issuer}/.well-known/openid-configuration`)).ok) return dex;
      } catch (error) {
        if (Date.now() > end) throw error;
      }
    }
  }

  /** An ID token from the authorization code flow. The mock connector logs its only user in without a prompt. */
  async token() {
    const query = new URLSearchParams({
      client_id: 'logkey', redirect_uri: REDIRECT, response_type: 'code', scope: 'openid email groups', state: 's',
    });
    let next = `${this.issuer}/auth?${query}`;
    while (!next.startsWith(REDIRECT)) {
      const answer = await fetch(next, { redirect: 'manual' });
      const location = answer.headers.get('location');
      if (!location) throw new Error(`${next}: ${answer.status} ${await answer.text()}`);
      next = new URL(location, next).href;
    }
    const code = new URL(next).searchParams.get('code');
    const answer = await fetch(`${this.issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${btoa('logkey:a-secret-for-tests')}` },
      body: new URLSearchParams({ grant_type: 'authorization_code', code, redirect_uri: REDIRECT }),
    });
    const body = await answer.json();
    if (!answer.ok) throw new Error(JSON.stringify(body));
    return body.id_token;
  }

  async stop() {
    this.process.kill();
    await this.ended;
  }
}

let dex;
let service;

before(async () => {
  dex = await Dex.start();
  service = await Service.start(dex.issuer, `accept_id_tokens = true\n${reads}`, { atJwt: false, tenant });
});

after(async () => {
  await service?.stop();
  await dex?.stop();
});

test('an ID token of Dex is accepted with accept_id_tokens', async () => {
  const caller = await service.caller(await dex.token());
  assert.equal(caller.tenant_id, 'payments');
  assert.equal(caller.issuer, dex.issuer);
  assert.deepEqual(caller.scopes, ['logkey:read']);
});

test('an ID token is refused without accept_id_tokens', async () => {
  const strict = await Service.start(dex.issuer, reads, { atJwt: false, tenant });
  try {
    const token = await dex.token();
    await service.caller(token);
    await assert.rejects(strict.caller(token), refused);
  } finally {
    await strict.stop();
  }
});

test('after Dex restarts with new keys, new tokens are accepted and old ones refused', async () => {
  const old = await dex.token();
  await service.caller(old);
  const { port } = dex;
  await dex.stop();
  await service.caller(old);
  dex = await Dex.start(port);
  const fresh = await dex.token();
  await service.until(() => service.caller(fresh));
  await assert.rejects(service.caller(old), refused);
});
