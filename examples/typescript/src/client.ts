// The same in Node and in a browser: only the transport differs.
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

import { ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";

/** Every call gets this deadline unless it names another one. It covers all attempts. */
export const TIMEOUT_MS = 20_000;

/** Sends a bearer token with each call, and retries a call after the delay of `RetryInfo` until its deadline. */
export function withToken(token: string): Interceptor {
  return (next) => async (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    for (;;) {
      try {
        return await next(request);
      } catch (error) {
        const delay = retryDelay(error);
        if (delay === undefined || request.stream) throw error;
        await sleep(delay);
        request.signal.throwIfAborted();
      }
    }
  };
}

/** The milliseconds after which a retry can succeed, if one can. */
export function retryDelay(error: unknown): number | undefined {
  const delay = ConnectError.from(error).findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay && durationMs(delay);
}

/** Programs use the reason, never the message: docs/errors.md lists the reasons. */
export function describe(error: unknown): string {
  const { code, rawMessage } = ConnectError.from(error);
  const reason = ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason ?? "";
  return `${Code[code]} ${reason}: ${rawMessage}`;
}

export const sleep = (ms: number) => new Promise((wake) => setTimeout(wake, ms));
