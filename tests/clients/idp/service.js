// Runs the real binary with one issuer.

import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const proto = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../proto');
const definition = loader.loadSync('keyassociation/v1/tenant_service.proto', { keepCase: true, includeDirs: [proto] });
const { keyassociation } = grpc.loadPackageDefinition(definition);

export async function freePort() {
  const server = net.createServer();
  await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
  const { port } = server.address();
  await new Promise((closed) => { server.close(closed); });
  return port;
}

const settings = ({ folder, listen, admin, issuer, more, atJwt, tenant }) => `
[server]
listen = "127.0.0.1:${listen}"
admin_listen = "127.0.0.1:${admin}"
drain_delay = "0s"
[store]
url = "sqlite://${folder}/logkey.db"
[[auth.issuers]]
issuer = "${issuer}"
audiences = ["logkey"]
algorithms = ["RS256", "ES256"]
require_at_jwt = ${atJwt}
require_nbf = false
refresh = { every = "5s", cool_down = "1s" }
${more}
[[tenants]]
id = "payments"
issuers = ["${issuer}"]
${tenant}
`;

export class Service {
  static async start(issuer, more = '', { atJwt = true, tenant = '' } = {}) {
    const service = new Service();
    service.folder = await mkdtemp(path.join(os.tmpdir(), 'logkey-idp-'));
    const [listen, admin] = [await freePort(), await freePort()];
    const config = path.join(service.folder, 'logkey.toml');
    await writeFile(config, settings({ folder: service.folder, listen, admin, issuer, more, atJwt, tenant }));
    service.address = `127.0.0.1:${listen}`;
    service.admin = `http://127.0.0.1:${admin}`;
    service.process = spawn(process.env.LOGKEY_BINARY, ['serve', '--config', config], { stdio: 'inherit' });
    service.ended = new Promise((ended) => { service.process.once('exit', ended); });
    const { TenantService } = keyassociation.v1;
    service.client = new TenantService(`127.0.0.1:${listen}`, grpc.credentials.createInsecure());
    await service.until(async () => (await fetch(`${service.admin}/startupz`)).ok);
    return service;
  }

  /** Waits until the condition is true, at most 30 s. */
  async until(condition) {
    const end = Date.now() + 30_000;
    for (;;) {
      try {
        if (await condition()) return;
      } catch (error) {
        if (Date.now() > end) throw error;
      }
      if (Date.now() > end) throw new Error(`timed out waiting for: ${condition}`);
      await wait(100);
    }
  }

  /** The response of GetCaller for this token. */
  caller(token) {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + 10_000;
      this.client.GetCaller({}, metadata, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }

  async stop() {
    this.client.close();
    this.process.kill('SIGTERM');
    await this.ended;
    await rm(this.folder, { recursive: true });
  }
}
