// Tests @grpc/grpc-js as the backend of a web portal would use it. service.py sets LOGKEY_* and runs this.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { Portal, Refused } from './portal.js';

const env = process.env;
const key = 'arn:aws:kms:us-east-1:111122223333:key/11111111-1111-4111-8111-111111111111';
const payments = new Portal(env.LOGKEY_ADDRESS, env.LOGKEY_TOKEN_PAYMENTS);
const reader = new Portal(env.LOGKEY_ADDRESS, env.LOGKEY_TOKEN_READER);
const portal = new Portal(env.LOGKEY_ADDRESS, env.LOGKEY_TOKEN_PORTAL);
const anonymousCaller = new Portal(env.LOGKEY_ADDRESS);
after(() => [payments, reader, portal, anonymousCaller].forEach((p) => p.close()));

/** The error of the call, which must fail. Checks the details that every error must carry. */
async function refused(call) {
  const refusal = await call.then(
    (answer) => assert.fail(`succeeded: ${JSON.stringify(answer)}`),
    (error) => error,
  );
  assert.ok(refusal instanceof Refused, refusal);
  assert.equal(refusal.details.ErrorInfo.domain, 'keyassociation.v1');
  assert.equal(refusal.details.RequestInfo.requestId, refusal.requestId);
  return refusal;
}

test('GetCaller returns the tenant and its grants', async () => {
  const caller = await payments.call('GetCaller');
  assert.equal(caller.tenant_id, 'payments');
  assert.deepEqual(caller.accounts[0].log_group_patterns, ['/payments/*']);
});

test('a key is set, read and removed', async () => {
  const target = { log_group_name: '/payments/portal' };
  const set = await payments.call('AssociateKmsKey', {
    ...target,
    kms_key_id: key,
    reason: 'TICKET-3',
  });
  assert.equal(set.association.kms_key_arn, key);
  assert.equal(set.association.resource, 'log_group_name');
  const read = await reader.call('GetKeyAssociation', target);
  assert.equal(read.association.kms_key_arn, key);
  const removed = await payments.call('DisassociateKmsKey', target);
  assert.equal(removed.association.previous_kms_key_arn, key);
});

test('the pages of a list contain each log group once', async () => {
  const names = [];
  let page_token = '';
  do {
    const page = await reader.call('ListKeyAssociations', { page_size: 4, page_token });
    names.push(...page.associations.map((association) => association.log_group_name));
    page_token = page.next_page_token;
  } while (page_token);
  assert.ok(names.includes('/payments/hash#1'));
  assert.equal(new Set(names).size, names.length);
});

test('an error names every invalid field', async () => {
  const request = { account_id: '12', log_group_name: 'not a name', kms_key_id: 'k'.repeat(300) };
  const refusal = await refused(payments.call('AssociateKmsKey', request));
  assert.equal(refusal.code, 'INVALID_ARGUMENT');
  const fields = refusal.details.BadRequest.fieldViolations.map((violation) => violation.field);
  assert.deepEqual(fields.sort(), ['account_id', 'kms_key_id', 'log_group_name']);
});

test('a missing token and a missing scope have different errors', async () => {
  const anonymous = await refused(anonymousCaller.call('GetCaller'));
  assert.deepEqual([anonymous.code, anonymous.reason], ['UNAUTHENTICATED', 'TOKEN_MISSING']);
  const unscoped = await refused(
    reader.call('AssociateKmsKey', { log_group_name: '/payments/portal', kms_key_id: key }),
  );
  assert.deepEqual([unscoped.code, unscoped.reason], ['PERMISSION_DENIED', 'SCOPE_MISSING']);
});

test('every call of a burst succeeds after the retry delay', async () => {
  const waits = [];
  for (let n = 0; n < 6; n += 1) {
    const request = { log_group_name: `/portal/job-${n}` };
    const answer = await portal.callWithRetries('GetKeyAssociation', request, { onWait: (e) => waits.push(e) });
    assert.equal(answer.association.log_group_name, `/portal/job-${n}`);
  }
  // One wait per call is enough: no retry delay was too short.
  assert.ok(waits.length > 0 && waits.length <= 6, `${waits.length} waits`);
  for (const wait of waits) {
    assert.deepEqual([wait.code, wait.reason], ['RESOURCE_EXHAUSTED', 'TENANT_RATE_LIMITED']);
    assert.ok(wait.retryMillis > 0 && wait.retryMillis <= 5000, `${wait.retryMillis} ms`);
  }
});

test('a deadline ends a call that AWS does not answer', async () => {
  const faults = `${env.LOGKEY_SANDBOX}/_sandbox/faults`;
  const hang = { operation: 'AssociateKmsKey', account: '111122223333', effect: 'hang' };
  const set = await fetch(faults, { method: 'POST', body: JSON.stringify(hang) });
  assert.equal(set.status, 200, await set.text());
  try {
    const began = Date.now();
    const request = { log_group_name: '/payments/portal', kms_key_id: key };
    const error = await payments.call('AssociateKmsKey', request, { millis: 1500 }).catch((e) => e);
    assert.equal(error.code, 'DEADLINE_EXCEEDED');
    assert.ok(Date.now() - began < 4000);
  } finally {
    await fetch(faults, { method: 'DELETE' });
  }
});
