"""The kopf side: which objects are watched, and how kopf is kept from doing more than that.

Only `on.event` is used: with it kopf writes nothing to users' objects, neither finalizers nor
annotations, and keeps no state. Deletions that happen while nobody watches are found by the
periodic listing in `resync.py`.
"""

from typing import Any

import kopf

from mitosis_operator.handlers.intake import Intake
from mitosis_operator.kube.access import Access
from mitosis_operator.kube.kinds import (
    POD,
    SECRET,
    VOLUME,
    WATCHED_BY_NAMESPACE,
    WATCHED_IN_CLUSTER,
    Body,
    Kind,
)
from mitosis_operator.names import LABEL_MANAGED_BY, MANAGED_BY

HELM_RELEASES = "type!=helm.sh/release.v1"
"""They are large, there is one for each release ever made, and no password is in them."""


def registry(intake: Intake, access: Access) -> kopf.OperatorRegistry:
    made = kopf.OperatorRegistry()
    for kind in (*WATCHED_BY_NAMESPACE, *WATCHED_IN_CLUSTER, SECRET):
        _watch(made, kind, intake)

    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        """Asked again when the server refuses the token: the kubelet has written a new one."""
        return kopf.ConnectionInfo(
            server=access.server,
            ca_data=access.authority or None,
            token=access.read_token() or None,
            certificate_data=access.certificate or None,
            private_key_data=access.key or None,
            insecure=access.insecure,
        )

    kopf.on.login(registry=made)(log_in)
    return made


def settings() -> kopf.OperatorSettings:
    made = kopf.OperatorSettings()
    made.posting.enabled = False  # Events are written by us, not made of log lines
    made.peering.standalone = True  # leadership.py decides who acts
    made.scanning.disabled = True  # so that no rights on namespaces and CRDs are needed
    made.queueing.worker_limit = 100
    made.queueing.idle_timeout = 0.05  # a worker holds its place in the limit while it idles
    made.networking.request_timeout = 30
    made.networking.connect_timeout = 10
    made.watching.connect_timeout = 10
    made.watching.server_timeout = 300
    made.watching.client_timeout = 330
    made.watching.chunk_size = 500
    made.process.ultimate_exiting_timeout = 10
    own = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
    for kind in (POD, VOLUME):
        made.watching.label_selectors[kind.version, kind.plural] = own
    made.watching.field_selectors[SECRET.version, SECRET.plural] = HELM_RELEASES
    return made


def _selector(kind: Kind) -> tuple[str, ...]:
    return (kind.group, kind.version, kind.plural) if kind.group else (kind.version, kind.plural)


def _watch(registry: kopf.OperatorRegistry, kind: Kind, intake: Intake) -> None:
    async def take_in(type: str | None, body: kopf.Body, **_: Any) -> None:
        plain: Body = {**body, "apiVersion": kind.api_version, "kind": kind.name}
        if type == "DELETED":
            intake.gone(kind, plain)
        else:
            intake.seen(kind, plain)

    kopf.on.event(
        *_selector(kind),
        registry=registry,
        id=f"{kind.plural}-seen",
    )(take_in)
