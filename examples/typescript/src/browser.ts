// Sets the key of all log groups that the tenant may see, from a page.
import { createConnectTransport } from "@connectrpc/connect-web";

import { describe, TIMEOUT_MS, withToken } from "./client.js";
import { encryptAll } from "./job.js";

const form = document.querySelector("form")!;
const [lines, progress] = document.querySelectorAll("output");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { server, token, key } = Object.fromEntries(new FormData(form)) as Record<string, string>;
  const transport = createConnectTransport({
    baseUrl: server!,
    defaultTimeoutMs: TIMEOUT_MS,
    interceptors: [withToken(token!)],
  });
  const print = (line: string) => lines!.append(`${line}\n`);
  try {
    await encryptAll(transport, key!, print, (line) => (progress!.textContent = line));
  } catch (error) {
    print(describe(error));
  }
});
