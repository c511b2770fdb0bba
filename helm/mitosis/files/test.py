"""`helm test`: operator and gate answer, and the gate greets as a MySQL server does."""

import os
import socket
import sys
import time
import urllib.request

LIMIT_SECONDS = 60
PROTOCOL_VERSION = 10


def is_ready(url):
    with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
        answer.read()


def greets(address):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        greeting = connection.makefile("rb").read(5)
    if len(greeting) < 5 or greeting[4] != PROTOCOL_VERSION:
        raise OSError(f"no greeting of a MySQL server, but {greeting!r}")


def attempt(what, check, target, end):
    while True:
        try:
            check(target)
        except OSError as error:
            if time.monotonic() > end:
                print(f"failed: {what} at {target}: {error}")
                return False
            time.sleep(1)
        else:
            print(f"fine: {what} at {target}")
            return True


end = time.monotonic() + LIMIT_SECONDS
results = [
    attempt("the operator is ready", is_ready, os.environ["OPERATOR"], end),
    attempt("the gate is ready", is_ready, os.environ["GATE_ADMIN"], end),
    attempt("the gate speaks MySQL", greets, os.environ["GATE"], end),
]
sys.exit(0 if all(results) else 1)
