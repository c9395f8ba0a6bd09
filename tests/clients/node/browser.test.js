// Tests gRPC-Web and Connect from pages of other origins in a real Chromium. service.py runs this; tests/run sets the
// ports of the pages, of which the service allows the first.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

const env = process.env;
const ports = env.PAGE_PORTS.split(' ').map(Number);
const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Runs in the page: calls the service and reports what the page could read. */
async function page({ base, token }) {
  const url = `${base}/keyassociation.v1.TenantService/GetCaller`;
  const bearer = { authorization: `Bearer ${token}` };
  const web = { 'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1' };
  const connect = { 'content-type': 'application/json', 'connect-protocol-version': '1', 'connect-timeout-ms': '5000' };
  const call = async (headers, body) => {
    try {
      const response = await fetch(url, { method: 'POST', headers, body });
      const bytes = new Uint8Array(await response.arrayBuffer());
      return {
        status: response.status,
        headers: Object.fromEntries(response.headers),
        text: new TextDecoder('latin1').decode(bytes),
      };
    } catch (error) {
      return { blocked: String(error) };
    }
  };
  const results = {
    web: await call({ ...web, ...bearer }, new Uint8Array(5)),
    webRefused: await call(web, new Uint8Array(5)),
    connect: await call({ ...connect, ...bearer }, '{}'),
    connectRefused: await call(connect, '{}'),
    otherType: await call({ 'content-type': 'text/csv', ...bearer }, 'a,b'),
  };
  await fetch('/results', { method: 'POST', body: JSON.stringify(results) });
}

/** Serves the page on this port, opens it in Chromium, and returns the report of the page. */
async function report(port) {
  const argument = JSON.stringify({ base: `http://${env.LOGKEY_ADDRESS}`, token: env.LOGKEY_TOKEN_READER });
  const html = `<!doctype html><title>page</title><script>(${page})(${argument})</script>`;
  let answer;
  const reported = new Promise((resolve) => { answer = resolve; });
  const server = http.createServer(async (request, response) => {
    if (request.method === 'POST') {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      answer(JSON.parse(Buffer.concat(chunks).toString()));
    }
    response.setHeader('content-type', 'text/html');
    response.end(request.url === '/' ? html : '');
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const profile = await mkdtemp(path.join(tmpdir(), 'logkey-chromium-'));
  const browser = spawn(env.CHROMIUM, [...flags, `--user-data-dir=${profile}`, '--remote-debugging-port=0', `http://127.0.0.1:${port}/`], { stdio: 'ignore' });
  try {
    const ended = once(browser, 'exit').then(([code]) => assert.fail(`Chromium ended with ${code}`));
    return await Promise.race([reported, ended]);
  } finally {
    browser.removeAllListeners('exit');
    browser.kill();
    server.closeAllConnections();
    server.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

test('a page of an allowed origin calls and reads refusals', { timeout: 60_000 }, async () => {
  const results = await report(ports[0]);
  assert.equal(results.web.status, 200, JSON.stringify(results.web));
  assert.ok(results.web.text.includes('payments') && results.web.text.includes('grpc-status:0'));
  assert.ok(results.web.headers['x-request-id'] && results.web.headers['ratelimit-remaining']);
  assert.equal(results.webRefused.headers['grpc-status'], '16');
  assert.match(results.webRefused.headers['grpc-message'], /bearer/);
  assert.ok(results.webRefused.headers['grpc-status-details-bin']);
  assert.equal(JSON.parse(results.connect.text).tenantId, 'payments');
  assert.equal(results.connectRefused.status, 401);
  const refusal = JSON.parse(results.connectRefused.text);
  assert.equal(refusal.code, 'unauthenticated');
  assert.equal(refusal.details[0].debug.reason, 'TOKEN_MISSING');
  assert.equal(results.otherType.status, 415);
});

test('a page of another origin can do nothing', { timeout: 60_000 }, async () => {
  const results = await report(ports[1]);
  for (const [name, result] of Object.entries(results)) {
    assert.ok(result.blocked, `${name}: ${JSON.stringify(result)}`);
  }
});
