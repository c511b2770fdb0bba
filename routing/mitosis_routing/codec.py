"""Routing table to and from the JSON in `RoutingTable.spec`, with a format version.

A reader accepts FORMAT and the format before it, so that gates and operator can be upgraded in any
order; unknown fields are ignored, because a newer writer of the same format may add some.
"""

from collections.abc import Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any

from mitosis_routing.keyspace import SlotRange
from mitosis_routing.table import (
    InstanceRoute,
    OtherTables,
    Role,
    RoutingTable,
    SecretKey,
    ShardRoute,
    ShardState,
    TableRule,
    TransactionMode,
    UniqueKeys,
    UserLimits,
    UserRef,
    UserTls,
)

FORMAT = 1


class BadTable(ValueError):
    """The JSON is no routing table of a format that this program reads."""


def to_json(table: RoutingTable) -> dict[str, Any]:
    """Return what stands in `spec`; optional fields that are empty are left out."""
    return _without_empty(
        {
            "formatVersion": FORMAT,
            "keyspace": table.keyspace,
            "version": table.version,
            "slots": table.slots,
            "shards": [_shard_to_json(s) for s in table.shards],
            "tables": [
                _without_empty(
                    {"name": t.name, "shardingKey": t.sharding_key, "reference": t.reference}
                )
                for t in table.tables
            ],
            "defaultShardingKey": table.default_sharding_key,
            "otherTables": table.other_tables.value,
            "uniqueKeys": table.unique_keys.value,
            "users": [_user_to_json(u) for u in table.users],
            "gateAccount": _user_to_json(table.gate_account) if table.gate_account else None,
            "ca": table.ca,
        }
    )


def from_json(body: Mapping[str, Any]) -> RoutingTable:
    """Raise BadTable, naming what is wrong, for anything that `to_json` cannot have written."""
    form = body.get("formatVersion")
    if form != FORMAT:
        raise BadTable(
            f"cannot read a routing table of format {form}: this program reads format {FORMAT}; "
            "upgrade it to the version of the operator"
        )
    try:
        gate_account = body.get("gateAccount")
        return RoutingTable(
            keyspace=body["keyspace"],
            version=int(body["version"]),
            slots=int(body["slots"]),
            shards=tuple(_shard_from_json(s) for s in body.get("shards", ())),
            tables=tuple(
                TableRule(t["name"], t.get("shardingKey", ""), bool(t.get("reference", False)))
                for t in body.get("tables", ())
            ),
            default_sharding_key=body.get("defaultShardingKey", ""),
            other_tables=OtherTables(body.get("otherTables", OtherTables.REFUSE)),
            unique_keys=UniqueKeys(body.get("uniqueKeys", UniqueKeys.WARN)),
            users=tuple(_user_from_json(u) for u in body.get("users", ())),
            gate_account=_user_from_json(gate_account) if gate_account else None,
            ca=body.get("ca", ""),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise BadTable(f"cannot read the routing table: {type(exc).__name__}: {exc}") from exc


def _without_empty(body: dict[str, Any]) -> dict[str, Any]:
    """0 stays: an epoch of 0 is a fact, though it equals False."""
    return {k: v for k, v in body.items() if v is not None and v is not False and v != ""}


def _shard_to_json(shard: ShardRoute) -> dict[str, Any]:
    return _without_empty(
        {
            "name": shard.name,
            "slots": {"start": shard.slots.start, "end": shard.slots.end},
            "state": shard.state.value,
            "epoch": shard.epoch,
            "deadline": shard.deadline,
            "reason": shard.reason,
            "instances": [
                _without_empty(
                    {
                        "name": i.name,
                        "role": i.role.value,
                        "host": i.host,
                        "port": i.port,
                        "serverUuid": i.server_uuid,
                        "idc": i.idc,
                    }
                )
                for i in shard.instances
            ],
        }
    )


def _shard_from_json(body: Mapping[str, Any]) -> ShardRoute:
    return ShardRoute(
        name=body["name"],
        slots=SlotRange(int(body["slots"]["start"]), int(body["slots"]["end"])),
        state=ShardState(body["state"]),
        epoch=int(body["epoch"]),
        deadline=body.get("deadline", ""),
        reason=body.get("reason", ""),
        instances=tuple(
            InstanceRoute(
                name=i["name"],
                role=Role(i["role"]),
                host=i.get("host", ""),
                port=int(i.get("port", 3306)),
                server_uuid=i.get("serverUuid", ""),
                idc=i.get("idc", ""),
            )
            for i in body.get("instances", ())
        ),
    )


def _user_to_json(user: UserRef) -> dict[str, Any]:
    secret = {"name": user.password.name, "key": user.password.key}
    limits = {name: value for name, value in vars(user.limits).items() if value}
    return _without_empty(
        {
            "name": user.name,
            "passwordSecret": secret,
            "version": user.version,
            "tls": user.tls.value if user.tls is not UserTls.NONE else None,
            "tlsSubject": user.tls_subject,
            "limits": limits or None,
            "transactionMode": _unless(user.transaction_mode, TransactionMode.ATOMIC),
        }
    )


def _unless(value: StrEnum, usual: StrEnum) -> str | None:
    return None if value is usual else value.value


def _user_from_json(body: Mapping[str, Any]) -> UserRef:
    secret = body["passwordSecret"]
    return UserRef(
        body["name"],
        SecretKey(secret["name"], secret["key"]),
        body.get("version", ""),
        tls=UserTls(body.get("tls", UserTls.NONE)),
        tls_subject=body.get("tlsSubject", ""),
        limits=_limits_from_json(body.get("limits", {})),
        transaction_mode=TransactionMode(body.get("transactionMode", TransactionMode.ATOMIC)),
    )


def _limits_from_json(body: Mapping[str, Any]) -> UserLimits:
    return UserLimits(**{f.name: body[f.name] for f in fields(UserLimits) if f.name in body})
