"""The gate's own certificate for clients, read again when its files change."""

import logging
import ssl
from pathlib import Path

from mitosis_gate.errors import NotStarted

log = logging.getLogger(__name__)

_Seen = tuple[tuple[int, int], ...]


class ServerCertificate:
    """`context` is asked for at each login; a broken new certificate leaves the old one in use."""

    def __init__(self, folder: Path | None, client_ca: Path | None = None) -> None:
        """`client_ca`: clients may show certificates, which this authority must have signed."""
        self._folder = folder
        self._client_ca = client_ca
        self._context: ssl.SSLContext | None = None
        self._seen: _Seen = ()

    @property
    def context(self) -> ssl.SSLContext | None:
        """None: this gate offers no TLS."""
        return self._context

    def look(self) -> None:
        """Read the files if they have changed; raises NotStarted if there never was a good one."""
        if self._folder is None:
            return
        certificate, key = self._folder / "tls.crt", self._folder / "tls.key"
        files = [f for f in (certificate, key, self._client_ca) if f is not None]
        try:
            seen = tuple((s.st_ino, s.st_mtime_ns) for s in (f.stat() for f in files))
            if seen == self._seen:
                return
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(certificate, key)
            if self._client_ca is not None:
                context.load_verify_locations(self._client_ca)
                context.verify_mode = ssl.CERT_OPTIONAL
        except (OSError, ssl.SSLError) as exc:
            if self._context is None:
                raise NotStarted(f"no certificate for clients in {self._folder}: {exc}") from exc
            log.error("new certificate in %s cannot be used: %s", self._folder, exc)
            return
        log.info("serving clients with the certificate in %s", self._folder)
        self._seen = seen
        self._context = context
