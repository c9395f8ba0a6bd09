// A client as the backend of a web portal would use it: promises, deadlines, decoded error details, and
// retries after the delay that the service asks for.

import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';
import protos from 'google-proto-files';

const proto = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../proto');
const options = { keepCase: true, longs: String, enums: String, oneofs: true };
const definition = loader.loadSync(
  ['keyassociation/v1/key_association_service.proto', 'keyassociation/v1/tenant_service.proto'],
  { ...options, includeDirs: [proto] },
);
const { keyassociation } = grpc.loadPackageDefinition(definition);
const rpc = await protos.load(protos.getProtoPath('rpc/error_details.proto'));
const Status = (await protos.load(protos.getProtoPath('rpc/status.proto'))).lookupType('google.rpc.Status');

/** A status other than OK: `code`, `message`, and `details` by the short names of their types. */
export class Refused extends Error {
  constructor(error) {
    super(error.details);
    this.code = grpc.status[error.code];
    this.details = {};
    const [bytes] = error.metadata.get('grpc-status-details-bin');
    for (const { type_url: url, value } of bytes ? Status.decode(bytes).details : []) {
      const name = url.slice(url.lastIndexOf('/') + 1);
      const type = rpc.lookupType(name);
      this.details[name.split('.').pop()] = type.toObject(type.decode(value), { longs: Number });
    }
    this.requestId = error.metadata.get('x-request-id')[0];
  }

  get reason() {
    return this.details.ErrorInfo?.reason;
  }

  /** How long to wait before a retry, in milliseconds. Undefined if the service gives no delay. */
  get retryMillis() {
    const delay = this.details.RetryInfo?.retryDelay;
    return delay && Math.ceil((delay.seconds ?? 0) * 1000 + (delay.nanos ?? 0) / 1e6);
  }
}

/** Calls the service with one token. */
export class Portal {
  constructor(address, token) {
    const credentials = grpc.credentials.createInsecure();
    this.clients = [
      new keyassociation.v1.KeyAssociationService(address, credentials),
      new keyassociation.v1.TenantService(address, credentials),
    ];
    this.token = token;
  }

  close() {
    for (const client of this.clients) client.close();
  }

  /** One attempt, with a deadline. */
  call(method, request = {}, { millis = 10_000 } = {}) {
    const client = this.clients.find((c) => method in c);
    const metadata = new grpc.Metadata();
    if (this.token) metadata.set('authorization', `Bearer ${this.token}`);
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + millis;
      client[method](request, metadata, { deadline }, (error, answer) => {
        if (error) reject(new Refused(error));
        else resolve(answer);
      });
    });
  }

  /** Retries until the deadline, each time after the delay that the service asked for. */
  async callWithRetries(method, request, { millis = 20_000, onWait = () => {} } = {}) {
    const deadline = Date.now() + millis;
    for (;;) {
      try {
        return await this.call(method, request, { millis: deadline - Date.now() });
      } catch (error) {
        const millis = error.retryMillis;
        if (millis === undefined || Date.now() + millis >= deadline) throw error;
        onWait(error);
        await wait(millis);
      }
    }
  }
}
