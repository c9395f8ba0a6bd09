"""Runs a program with the address of a moto server in `LOGKEY_MOTO`: `python with_moto.py PROGRAM ARGUMENTS...`."""

import os
import subprocess
import sys

from moto.server import ThreadedMotoServer


def main():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        environment = os.environ | {"LOGKEY_MOTO": f"http://{host}:{port}"}
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
