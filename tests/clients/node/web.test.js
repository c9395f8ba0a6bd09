// Tests gRPC-Web with only fetch over HTTP/1.1, as in a browser. service.py runs this.

import assert from 'node:assert/strict';
import { test } from 'node:test';

const base = `http://${process.env.LOGKEY_ADDRESS}`;
const token = process.env.LOGKEY_TOKEN_READER;

/** Calls a method with an empty message. Returns the messages and trailers of the response. */
async function call(method, { type = 'application/grpc-web+proto', headers = {} } = {}) {
  const empty = new Uint8Array(5);
  const body = type.includes('text') ? Buffer.from(empty).toString('base64') : empty;
  const response = await fetch(`${base}/${method}`, {
    method: 'POST',
    headers: { 'content-type': type, accept: type, 'x-grpc-web': '1', ...headers },
    body,
  });
  let bytes = Buffer.from(await response.arrayBuffer());
  if (type.includes('text')) bytes = decodeBase64Chunks(bytes.toString());
  const messages = [];
  const trailers = Object.fromEntries(response.headers);
  while (bytes.length >= 5) {
    const end = 5 + bytes.readUInt32BE(1);
    const part = bytes.subarray(5, end);
    if (bytes[0] & 0x80) {
      for (const line of part.toString().split('\r\n').filter(Boolean)) {
        const colon = line.indexOf(':');
        trailers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
      }
    } else {
      messages.push(part);
    }
    bytes = bytes.subarray(end);
  }
  return { response, messages, trailers };
}

/** Decodes consecutive base64 chunks, each with its own padding. */
function decodeBase64Chunks(text) {
  const pieces = text.match(/[^=]+=*/g) ?? [];
  return Buffer.concat(pieces.map((piece) => Buffer.from(piece, 'base64')));
}

const caller = 'keyassociation.v1.TenantService/GetCaller';
const bearer = { authorization: `Bearer ${token}` };

for (const type of ['application/grpc-web+proto', 'application/grpc-web', 'application/grpc-web-text']) {
  test(`a call succeeds as ${type}`, async () => {
    const { response, messages, trailers } = await call(caller, { type, headers: bearer });
    assert.equal(response.status, 200);
    assert.equal(trailers['grpc-status'], '0');
    assert.equal(messages.length, 1);
    // Field 1 of GetCallerResponse, a string.
    assert.equal(messages[0].subarray(0, 10).toString('latin1'), '\x0a\x08payments');
  });
}

test('an error has its status, details and request id', async () => {
  const { response, messages, trailers } = await call(caller);
  assert.equal(response.status, 200);
  assert.equal(messages.length, 0);
  assert.equal(trailers['grpc-status'], '16');
  assert.ok(trailers['x-request-id']);
  const details = Buffer.from(trailers['grpc-status-details-bin'], 'base64').toString('latin1');
  assert.match(details, /TOKEN_MISSING/);
});

test('health needs no token', async () => {
  const { messages, trailers } = await call('grpc.health.v1.Health/Check');
  assert.equal(trailers['grpc-status'], '0');
  assert.deepEqual([...messages[0]], [8, 1]);
});

test('an unknown method is unimplemented', async () => {
  const { trailers } = await call('keyassociation.v1.TenantService/Nothing', { headers: bearer });
  assert.equal(trailers['grpc-status'], '12');
});
