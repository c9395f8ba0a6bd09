import assert from 'node:assert/strict';
import { stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';

import grpc from '@grpc/grpc-js';

import { Cli } from './cli.js';
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
  test(`an access token signed with ${algorithm} is accepted`, async () => {
    const caller = await service.caller(await idp.token(`payments-${algorithm}`));
    assert.equal(caller.tenant_id, 'payments');
    assert.equal(caller.subject, `payments-${algorithm}`);
    assert.equal(caller.issuer, idp.issuer);
    assert.deepEqual(caller.scopes, ['logkey:read']);
  });
}

test('logkey login with client credentials keeps a token and renews it', async () => {
  const cli = await Cli.create(`http://${service.address}`);
  try {
    const secret = path.join(cli.home, 'secret');
    await writeFile(secret, 'a-secret-for-tests\n');
    const login = ['login', '--issuer', idp.issuer, '--client-id', 'payments-ES256', '--client-secret-file', secret,
      '--client-credentials', '--scope', 'logkey:read', '--resource', 'urn:logkey'];
    const loggedIn = await cli.run(login);
    assert.equal(loggedIn.code, 0, loggedIn.stderr);
    assert.equal((await stat(cli.tokens)).mode & 0o777, 0o600);
    const first = await cli.run(['whoami', '-o', 'json']);
    assert.equal(JSON.parse(first.stdout).subject, 'payments-ES256', first.stderr);
    const { token } = await cli.storedTokens();
    await cli.expire();
    assert.equal((await cli.run(['whoami'])).code, 0);
    assert.notEqual((await cli.storedTokens()).token, token);

    await writeFile(secret, 'another');
    const refusedLogin = await cli.run(['login']);
    assert.equal(refusedLogin.code, 3, refusedLogin.stderr);
    assert.match(refusedLogin.stderr, /refused the login: invalid_client/);
    assert.ok(!`${loggedIn.stderr}${refusedLogin.stderr}`.includes('a-secret-for-tests'));
  } finally {
    await cli.remove();
  }
});

/** Logs in by the device flow, with a person who decides as soon as the command shows the page. */
async function deviceLogin(cli, decision) {
  const login = ['login', '--issuer', idp.issuer, '--client-id', 'payments-ES256-cli', '--scope', 'logkey:read',
    '--resource', 'urn:logkey'];
  let decided;
  const ended = await cli.run(login, (note) => {
    const url = note.match(/Open (\S+) in a browser/)?.[1];
    if (url) decided ??= idp.decide(url, decision);
  });
  await decided;
  return ended;
}

test('logkey login with the device flow keeps a token of a person and renews it', async () => {
  const cli = await Cli.create(`http://${service.address}`);
  try {
    const loggedIn = await deviceLogin(cli);
    assert.equal(loggedIn.code, 0, loggedIn.stderr);
    assert.equal((await stat(cli.tokens)).mode & 0o777, 0o600);
    const first = await cli.run(['whoami', '-o', 'json']);
    assert.equal(JSON.parse(first.stdout).subject, 'ana', first.stderr);

    // The provider replaces the refresh token each time, and refuses one that was used.
    const seen = [await cli.storedTokens()];
    for (let n = 0; n < 2; n += 1) {
      await cli.expire();
      const renewed = await cli.run(['whoami', '-o', 'json']);
      assert.equal(JSON.parse(renewed.stdout).subject, 'ana', renewed.stderr);
      seen.push(await cli.storedTokens());
    }
    assert.equal(new Set(seen.map(({ token }) => token)).size, 3);
    assert.equal(new Set(seen.map(({ refresh_token: token }) => token)).size, 3);
    assert.ok(seen.every(({ expires_at: at }) => at > Date.now() / 1000));
    assert.equal((await stat(cli.tokens)).mode & 0o777, 0o600);

    // Commands at the same time renew the login once: the provider ends a login whose refresh token comes twice.
    await cli.expire();
    const together = await Promise.all([1, 2, 3].map(() => cli.run(['whoami'])));
    for (const { code, stderr } of together) assert.equal(code, 0, stderr);
    await cli.expire();
    assert.equal((await cli.run(['whoami'])).code, 0);

    await writeFile(cli.tokens, JSON.stringify({ ...seen[0], expires_at: 0 }));
    const over = await cli.run(['whoami']);
    assert.equal(over.code, 3, over.stderr);
    assert.match(over.stderr, /refused the login: invalid_grant/);
    assert.match(over.stderr, /logkey login/);
  } finally {
    await cli.remove();
  }
});

test('logkey login ends when the person declines', async () => {
  const cli = await Cli.create(`http://${service.address}`);
  try {
    const declined = await deviceLogin(cli, { approve: false });
    assert.equal(declined.code, 3, declined.stderr);
    assert.match(declined.stderr, /refused the login: access_denied/);
    await assert.rejects(stat(cli.tokens), { code: 'ENOENT' });
  } finally {
    await cli.remove();
  }
});

test('a token for another audience is refused', async () => {
  await assert.rejects(service.caller(await idp.token('payments-ES256', { resource: 'urn:other' })), refused);
});

test('a token for an unknown tenant is refused', async () => {
  await assert.rejects(service.caller(await idp.token('unknown-ES256')), refused);
});

test('a token with changed claims is refused', async () => {
  const [header, payload, signature] = (await idp.token('unknown-ES256')).split('.');
  const claims = { ...JSON.parse(Buffer.from(payload, 'base64url')), tenant: 'payments' };
  const forged = Buffer.from(JSON.stringify(claims)).toString('base64url');
  await assert.rejects(service.caller([header, forged, signature].join('.')), refused);
});

test('tokens of known keys cause no further key fetch', async () => {
  const earlier = idp.discoveryRequests;
  for (let n = 0; n < 20; n += 1) await service.caller(await idp.token('payments-ES256'));
  assert.ok(idp.discoveryRequests - earlier <= 1, `${idp.discoveryRequests - earlier} fetches`);
});

test('after a key rotation, new tokens are accepted and old ones refused', async () => {
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
    await assert.rejects(service.caller(token), refused, 'the old key is no longer in the key set');
  }
});

test('known keys stay valid while the provider is unavailable', async () => {
  const token = await idp.token('payments-ES256');
  await service.caller(token);
  const { handle } = idp;
  idp.handle = (_request, response) => { response.writeHead(503).end(); };
  const earlier = idp.discoveryRequests;
  await service.until(() => idp.discoveryRequests > earlier);
  assert.equal((await service.caller(token)).tenant_id, 'payments');
  idp.handle = handle;
});

test('the service starts without the provider and becomes ready later', async () => {
  const unavailable = await Idp.start([await key('late-rsa', 'RS256'), await key('late-ec', 'ES256')]);
  const { handle } = unavailable;
  unavailable.handle = (_request, response) => { response.writeHead(503).end(); };
  const late = await Service.start(unavailable.issuer);
  try {
    const ready = await fetch(`${late.admin}/readyz`);
    assert.equal(ready.status, 503);
    assert.match(await ready.text(), /127\.0\.0\.1/);
    unavailable.handle = handle;
    await late.until(async () => (await fetch(`${late.admin}/readyz`)).ok);
    assert.equal((await late.caller(await unavailable.token('payments-ES256'))).tenant_id, 'payments');
  } finally {
    await late.stop();
    unavailable.stop();
  }
});
