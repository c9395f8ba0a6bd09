#!/usr/bin/env python3
"""Runs the cases of benches/pace.rs with boto3's retry modes, in real time, with a token bucket like AWS's.

    python3 -m venv VENV && VENV/bin/pip install boto3 && VENV/bin/python benches/pace/retry_modes.py [CALLS]
"""

import json
import queue
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

QUOTA = 5.0
THREADS = 8
CASES = [
    ("burst of 5", 5, 0.0, 0.0),
    ("burst of 1, 10-50 ms at AWS", 1, 0.0, 0.0),
    ("burst of 1, 10-50 ms on the way", 1, 1.0, 0.0),
    ("others use 40 %, regular", 5, 0.0, 2.0),
]


class Bucket:
    def __init__(self, depth):
        self.depth, self.tokens, self.filled = depth, float(depth), time.monotonic()
        self.lock, self.accepted, self.throttled = threading.Lock(), 0, 0

    def take(self, ours=True):
        with self.lock:
            now = time.monotonic()
            self.tokens = min(self.depth, self.tokens + (now - self.filled) * QUOTA)
            self.filled = now
            enough = self.tokens >= 1
            self.tokens -= enough
            if ours:
                self.accepted += enough
                self.throttled += not enough
            return enough


def serve(bucket, on_the_way):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            latency = random.uniform(0.010, 0.050)
            time.sleep(latency * on_the_way)
            accepted = bucket.take()
            time.sleep(latency * (1 - on_the_way))
            body = b"{}" if accepted else json.dumps(
                {"__type": "ThrottlingException", "message": "Rate exceeded"}).encode()
            self.send_response(200 if accepted else 400)
            self.send_header("content-type", "application/x-amz-json-1.1")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def run(mode, calls, depth, on_the_way, others_rate):
    bucket, over = Bucket(depth), threading.Event()
    server = serve(bucket, on_the_way)
    if others_rate:
        def other_clients():
            while not over.wait(1 / others_rate):
                bucket.take(ours=False)
        threading.Thread(target=other_clients, daemon=True).start()
    client = boto3.client(
        "logs", region_name="eu-west-1", endpoint_url=f"http://127.0.0.1:{server.server_port}",
        aws_access_key_id="x", aws_secret_access_key="x",
        config=Config(retries={"mode": mode, "max_attempts": 3 if mode == "standard" else 10},
                      max_pool_connections=THREADS))
    work, lost = queue.Queue(), []
    for number in range(calls):
        work.put(number)

    def worker():
        while True:
            try:
                number = work.get_nowait()
            except queue.Empty:
                return
            try:
                client.associate_kms_key(logGroupName=f"/app/{number}", kmsKeyId="arn:aws:kms:eu-west-1:1:key/1")
            except ClientError:
                lost.append(number)

    start = time.monotonic()
    threads = [threading.Thread(target=worker) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - start
    over.set()
    server.shutdown()
    return bucket.accepted / seconds, bucket.throttled / max(bucket.accepted, 1), len(lost)


def main():
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    for name, depth, on_the_way, others_rate in CASES:
        for mode in ("adaptive", "standard"):
            rate, throttles, lost = run(mode, calls, depth, on_the_way, others_rate)
            best = QUOTA - others_rate
            print(f"{name:34} {mode:9} {rate:5.2f}/s, {100 * rate / best:5.1f} %; "
                  f"{throttles:.3f} throttles per success; {lost} of {calls} lost", flush=True)


if __name__ == "__main__":
    main()
