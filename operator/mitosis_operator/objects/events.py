"""Event objects: what the operator did, or refused, and why, beside the object concerned."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mitosis_operator import names
from mitosis_operator.models.conditions import timestamp

NORMAL = "Normal"
WARNING = "Warning"
_LONGEST_MESSAGE = 1024
"""The API server refuses longer ones."""


def build(
    regarding: Mapping[str, Any], type: str, reason: str, message: str, *, now: datetime
) -> dict[str, Any]:
    """`regarding` is the whole object. The same event at the same second has the same name."""
    meta = regarding["metadata"]
    when = timestamp(now)
    facts = "\n".join((meta.get("uid", ""), type, reason, message, when))
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{meta['name']}.{hashlib.sha256(facts.encode()).hexdigest()[:16]}",
            "namespace": meta["namespace"],
        },
        "involvedObject": {
            "apiVersion": regarding["apiVersion"],
            "kind": regarding["kind"],
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta.get("uid", ""),
        },
        "type": type,
        "reason": reason,
        "message": _shortened(message),
        "source": {"component": names.MANAGED_BY},
        "reportingComponent": names.MANAGED_BY,
        "reportingInstance": names.MANAGED_BY,
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
    }


def _shortened(message: str) -> str:
    if len(message.encode()) <= _LONGEST_MESSAGE:
        return message
    return message.encode()[: _LONGEST_MESSAGE - 4].decode(errors="ignore") + " ..."
