import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import grpc from '@grpc/grpc-js';

import { Idp, key } from './provider.js';
import { Service } from './service.js';

let idp;
let service;

before(async () => {
  idp = await Idp.start([await key('rsa-1', 'RS256'), await key('ec-1', 'ES256')]);
  service = await Service.start(idp.issuer);
});

after(async () => {
  await service?.stop();
  idp?.stop();
});

const refused = { code: grpc.status.UNAUTHENTICATED };

for (const algorithm of ['RS256', 'ES256']) {
  test(`an access token in ${algorithm} says who calls`, async () => {
    const caller = await service.caller(await idp.token(`payments-${algorithm}`));
    assert.equal(caller.tenant_id, 'payments');
    assert.equal(caller.subject, `payments-${algorithm}`);
    assert.equal(caller.issuer, idp.issuer);
    assert.deepEqual(caller.scopes, ['logkey:read']);
  });
}

test('a token for another audience is refused', async () => {
  await assert.rejects(service.caller(await idp.token('payments-ES256', { resource: 'urn:other' })), refused);
});

test('a token for a tenant that is none is refused', async () => {
  await assert.rejects(service.caller(await idp.token('stranger-ES256')), refused);
});

test('a token whose claims were changed is refused', async () => {
  const [header, payload, signature] = (await idp.token('stranger-ES256')).split('.');
  const claims = { ...JSON.parse(Buffer.from(payload, 'base64url')), tenant: 'payments' };
  const forged = Buffer.from(JSON.stringify(claims)).toString('base64url');
  await assert.rejects(service.caller([header, forged, signature].join('.')), refused);
});

test('many tokens of known keys cost no further fetch', async () => {
  const earlier = idp.asked;
  for (let n = 0; n < 20; n += 1) await service.caller(await idp.token('payments-ES256'));
  assert.ok(idp.asked - earlier <= 1, `${idp.asked - earlier} fetches`);
});

test('new keys are found by the first token they sign, and removed ones stop within one refresh', async () => {
  const algorithms = ['RS256', 'ES256'];
  const tokens = () => Promise.all(algorithms.map((algorithm) => idp.token(`payments-${algorithm}`)));
  const old = await tokens();
  for (const token of old) await service.caller(token);
  idp.rotate([await key('rsa-2', 'RS256'), await key('ec-2', 'ES256')]);
  const fresh = await tokens();
  for (const [nth, token] of fresh.entries()) {
    await service.until(() => service.caller(token));
    assert.equal((await service.caller(token)).subject, `payments-${algorithms[nth]}`);
  }
  for (const token of old) {
    await assert.rejects(service.caller(token), refused, 'the old key is gone with the set it was in');
  }
});

test('known keys go on while the provider is away', async () => {
  const token = await idp.token('payments-ES256');
  await service.caller(token);
  const { handle } = idp;
  idp.handle = (_request, response) => { response.writeHead(503).end(); };
  const earlier = idp.asked;
  await service.until(() => idp.asked > earlier);
  assert.equal((await service.caller(token)).tenant_id, 'payments');
  idp.handle = handle;
});

test('a start without the provider works, says so, and mends itself', async () => {
  const away = await Idp.start([await key('late-rsa', 'RS256'), await key('late-ec', 'ES256')]);
  const { handle } = away;
  away.handle = (_request, response) => { response.writeHead(503).end(); };
  const late = await Service.start(away.issuer);
  try {
    const ready = await fetch(`${late.admin}/readyz`);
    assert.equal(ready.status, 503);
    assert.match(await ready.text(), /127\.0\.0\.1/);
    away.handle = handle;
    await late.until(async () => (await fetch(`${late.admin}/readyz`)).ok);
    assert.equal((await late.caller(await away.token('payments-ES256'))).tenant_id, 'payments');
  } finally {
    await late.stop();
    away.stop();
  }
});
