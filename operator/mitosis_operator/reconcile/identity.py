"""The authority of the project, and the certificates of operator and gate.

The authority's key is in one Secret, made once by whichever operator comes first. A certificate is
made anew when two thirds of its life are over. A Secret that a person made is never touched.
"""

import logging
import ssl
from collections.abc import Callable
from datetime import datetime

from mitosis_operator import certificates, metrics, names
from mitosis_operator.certificates import KeyPair
from mitosis_operator.errors import Conflict, MitosisError
from mitosis_operator.kube.access import load_chain
from mitosis_operator.kube.client import Kube
from mitosis_operator.kube.kinds import SECRET, Body, labels_of
from mitosis_operator.kube.secret_store import Secrets
from mitosis_operator.objects import credentials
from mitosis_operator.settings import Settings

log = logging.getLogger(__name__)

AUTHORITY_NAME = "mitosis-ca"
OPERATOR_NAME = "mitosis-operator"
"""Agents obey the bearer of this name alone."""


class Identity:
    def __init__(
        self,
        kube: Kube,
        secrets: Secrets,
        settings: Settings,
        now: Callable[[], datetime],
    ) -> None:
        self._kube = kube
        self._secrets = secrets
        self._settings = settings
        self._now = now
        self._authority: KeyPair | None = None
        self._own: KeyPair | None = None
        self._context: ssl.SSLContext | None = None

    @property
    def authority(self) -> KeyPair:
        if self._authority is None:
            raise MitosisError("the certificate authority is used before it was read")
        return self._authority

    def context(self) -> ssl.SSLContext:
        """What the operator shows to agents."""
        if self._context is None:
            raise MitosisError("the operator's certificate is used before it was read")
        return self._context

    async def ensure(self) -> None:
        """Read or make what is missing or old. Called at the start and again from time to time."""
        settings = self._settings
        self._authority = await self._read_authority()
        own = await self._pair(settings.operator_tls_secret, OPERATOR_NAME, (OPERATOR_NAME,))
        if own is not None and own != self._own:
            context = ssl.create_default_context(cadata=self._authority.certificate)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            load_chain(context, own.certificate, own.key)
            self._own, self._context = own, context
        await self._pair(settings.gate_tls_secret, f"{settings.prefix}-gate", self._gate_names())

    async def has_certificate(self, namespace: str, instance: str) -> bool:
        """Whether the instance has one that need not be renewed yet."""
        body = await self._secrets.get(namespace, names.tls_secret(instance))
        return body is not None and not self._is_due(body, instance_names(instance, namespace))

    def for_instance(self, namespace: str, instance: str) -> KeyPair:
        return certificates.new_leaf(
            self.authority, instance, instance_names(instance, namespace), self._now()
        )

    async def store(self, secret: Body) -> None:
        self._secrets.put(await self._kube.apply(secret))

    def _gate_names(self) -> tuple[str, ...]:
        service, namespace = f"{self._settings.prefix}-gate", self._settings.namespace
        full = f"{service}.{namespace}.svc"
        return (service, f"{service}.{namespace}", full, f"{full}.cluster.local", "localhost")

    async def _read_authority(self) -> KeyPair:
        name, namespace = self._settings.ca_secret, self._settings.namespace
        body = await self._secrets.get(namespace, name)
        if body is None:
            made = certificates.new_authority(AUTHORITY_NAME, self._now())
            data = {"ca.crt": made.certificate, "ca.key": made.key}
            try:
                body = await self._kube.create(credentials.plain(name, namespace, data))
                log.info("made the certificate authority in Secret %s/%s", namespace, name)
            except Conflict:  # another operator was quicker: its authority is the one
                body = await self._kube.get(SECRET, namespace, name)
            self._secrets.put(body)
        data_read = credentials.read(body)
        try:
            return KeyPair(data_read["ca.crt"].decode(), data_read["ca.key"].decode())
        except KeyError as exc:
            raise MitosisError(
                f"Secret {namespace}/{name} has no {exc}: put an authority's certificate and key "
                "there, or delete the Secret so that a new one is made"
            ) from exc

    async def _pair(self, secret: str, name: str, dns_names: tuple[str, ...]) -> KeyPair | None:
        namespace = self._settings.namespace
        body = await self._secrets.get(namespace, secret)
        if body is None or (_is_ours(body) and self._is_due(body, dns_names)):
            made = certificates.new_leaf(self.authority, name, dns_names, self._now())
            data = {
                "tls.crt": made.certificate,
                "tls.key": made.key,
                "ca.crt": self.authority.certificate,
            }
            body = await self._kube.apply(
                credentials.plain(secret, namespace, data, kind="kubernetes.io/tls")
            )
            self._secrets.put(body)
        data_read = credentials.read(body)
        if "tls.crt" not in data_read or "tls.key" not in data_read:
            return None
        return KeyPair(data_read["tls.crt"].decode(), data_read["tls.key"].decode())

    def _is_due(self, body: Body, dns_names: tuple[str, ...]) -> bool:
        certificate = credentials.read(body).get("tls.crt", b"").decode(errors="replace")
        due = certificates.must_renew(
            certificate, self.authority.certificate, dns_names, self._now()
        )
        if not due:
            metrics.CERTIFICATE_EXPIRY.labels(body["metadata"]["name"]).set(
                certificates.expires_at(certificate).timestamp()
            )
        return due


def instance_names(instance: str, namespace: str) -> tuple[str, ...]:
    return (instance, f"{instance}.{namespace}.svc")


def _is_ours(body: Body) -> bool:
    return labels_of(body).get(names.LABEL_MANAGED_BY) == names.MANAGED_BY
