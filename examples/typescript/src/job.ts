import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";

import { retryDelay, sleep } from "./client.js";
import {
  type BulkAssociation,
  BulkAssociationService,
  BulkState,
} from "./gen/keyassociation/v1/bulk_association_service_pb.js";
import { KeyAssociationService } from "./gen/keyassociation/v1/key_association_service_pb.js";
import { TenantService } from "./gen/keyassociation/v1/tenant_service_pb.js";

type Print = (line: string) => void;
type Jobs = Client<typeof BulkAssociationService>;

/** Sets the key of all log groups that the tenant may see. */
export async function encryptAll(transport: Transport, key: string, print: Print, progress: Print) {
  let total = 0;
  let withoutKey = 0;
  for await (const group of logGroups(transport)) {
    total += 1;
    if (group.kmsKeyArn === "") withoutKey += 1;
  }
  print(`${total} log groups, ${withoutKey} without a key`);

  const jobs = createClient(BulkAssociationService, transport);
  const plan = await planJob(jobs, key);
  print(`plan: ${plan.counts?.total} log groups, ${plan.counts?.waiting} to change`);
  await jobs.startBulkAssociation({ id: plan.id, etag: plan.etag });
  let job = plan;
  for await (job of watch(jobs, plan.id)) progress(`${job.counts?.succeeded} of ${job.counts?.total}`);
  print(`${BulkState[job.state]}: ${job.counts?.succeeded} log groups changed`);
}

/** The log groups of every account and Region of the tenant. */
async function* logGroups(transport: Transport) {
  const caller = await createClient(TenantService, transport).getCaller({});
  const keys = createClient(KeyAssociationService, transport);
  for (const { accountId, regions } of caller.accounts) {
    for (const region of regions) {
      let pageToken = "";
      do {
        const page = await keys.listKeyAssociations({ accountId, region, pageSize: 2, pageToken });
        yield* page.associations;
        pageToken = page.nextPageToken;
      } while (pageToken !== ""); // Only an empty token marks the last page.
    }
  }
}

/** Creates a job and waits for its plan. */
async function planJob(jobs: Jobs, key: string): Promise<BulkAssociation> {
  // With one id for all attempts, a retry cannot create a second job.
  const change = { case: "key" as const, value: { kmsKeyId: key } };
  const created = await jobs.createBulkAssociation({ selection: {}, change, requestId: crypto.randomUUID() });
  const id = created.bulkAssociation?.id ?? "";
  for await (const job of watch(jobs, id)) if (job.state !== BulkState.PLANNING) return job;
  throw new Error(`the job ${id} ended without a plan`);
}

/** The states of a job until it ends. Opens the stream again if it breaks: the job is not affected. */
async function* watch(jobs: Jobs, id: string): AsyncGenerator<BulkAssociation> {
  for (;;) {
    try {
      for await (const { bulkAssociation } of jobs.watchBulkAssociation({ id }, { timeoutMs: 3_600_000 })) {
        if (bulkAssociation) yield bulkAssociation;
      }
      return;
    } catch (error) {
      const delay = retryDelay(error);
      if (delay === undefined && ConnectError.from(error).code !== Code.Unavailable) throw error;
      await sleep(delay ?? 1000);
    }
  }
}
