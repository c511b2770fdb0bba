"""Probes and metrics, served from a thread: they answer for the event loop, not from it.

/healthz   the event loop ticked lately; false makes the kubelet restart the process
/readyz    the process has started: leading, or ready to take over
/metrics   Prometheus
"""

import asyncio
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import prometheus_client

from mitosis_operator import metrics

OLDEST_TICK_SECONDS = 30.0


class Health:
    def __init__(self) -> None:
        self._tick_at = time.monotonic()
        self.is_ready = False

    async def tick(self) -> None:
        """Runs in the event loop for ever; stands still when the loop does."""
        while True:
            self._tick_at = time.monotonic()
            metrics.LOOP_TICK.set_to_current_time()
            await asyncio.sleep(1)

    def problem(self) -> str:
        """What is wrong with the loop; empty when it is alive."""
        age = time.monotonic() - self._tick_at
        return f"the event loop stands still for {age:.0f} s" if age > OLDEST_TICK_SECONDS else ""


def serve(health: Health, port: int, host: str = "0.0.0.0") -> ThreadingHTTPServer:
    """Start to answer; `shutdown` and `server_close` of what is returned end it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(
                    200, prometheus_client.generate_latest(), prometheus_client.CONTENT_TYPE_LATEST
                )
            elif path == "/healthz":
                problem = health.problem()
                self._answer(503 if problem else 200, (problem or "ok").encode())
            elif path == "/readyz":
                self._answer(200 if health.is_ready else 503, b"ok" if health.is_ready else b"wait")
            else:
                self._answer(404, b"known: /healthz /readyz /metrics")

        def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes come every few seconds: nobody reads a log of them."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="probes", daemon=True).start()
    return server
