// Sets the key of all log groups that the tenant may see. The argument is the key.
import { createGrpcTransport } from "@connectrpc/connect-node";

import { describe, TIMEOUT_MS, withToken } from "./client.js";
import { encryptAll } from "./job.js";

const transport = createGrpcTransport({
  baseUrl: `http://${process.env.LOGKEY_ADDRESS}`,
  defaultTimeoutMs: TIMEOUT_MS,
  interceptors: [withToken(process.env.LOGKEY_TOKEN ?? "")],
});
try {
  await encryptAll(transport, process.argv[2] ?? "", console.log, console.error);
} catch (error) {
  console.error(describe(error));
  process.exitCode = 1;
}
