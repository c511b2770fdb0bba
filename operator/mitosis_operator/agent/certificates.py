"""The agent's certificate, read again when its files are renewed; mysqld reads the same files."""

import ssl
import threading
from collections.abc import Callable

from mitosis_operator.agent.lifecycle import log
from mitosis_operator.agent.settings import Settings
from mitosis_operator.agent.tools import Tools
from mitosis_operator.errors import MysqlError

LOOK_SECONDS = 5.0
RELOAD_SECONDS = 5.0

Stamp = tuple[tuple[int, int, int], ...]


class Certificates:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stamp = self._look()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        return self._context

    def renew(self) -> bool:
        """Return whether new files were taken; half-written ones are tried again later."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        try:
            self._context = self._load()
        except (OSError, ssl.SSLError) as exc:
            log(f"cannot read the renewed certificate, the old one is still used: {exc}")
            return False
        self._stamp = stamp
        return True

    def _look(self) -> Stamp:
        files = (self._settings.ca, self._settings.certificate, self._settings.key)
        found = [path.stat() for path in files if path.exists()]
        return tuple((s.st_ino, s.st_size, s.st_mtime_ns) for s in found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self._settings.ca)
        context.load_cert_chain(self._settings.certificate, self._settings.key)
        return context


def watch(
    certificates: Certificates, tools: Tools, ended: threading.Event, tick: Callable[[], None]
) -> None:
    """Look every few seconds; `tick` tells liveness that this loop runs."""
    mysqld_has_it = True
    while not ended.wait(LOOK_SECONDS):
        tick()
        if certificates.renew():
            log("the certificate was renewed")
            mysqld_has_it = False
        if not mysqld_has_it:
            mysqld_has_it = _reload(tools)


def _reload(tools: Tools) -> bool:
    """A mysqld that does not run reads the new files when it starts."""
    if tools.mysqld.child().pid is None:
        return True
    try:
        with tools.connect(RELOAD_SECONDS) as connection:
            connection.execute("ALTER INSTANCE RELOAD TLS")
    except MysqlError as exc:
        log(f"mysqld did not take the renewed certificate yet: {exc}")
        return False
    return True
