"""Errors in which the planner says no: one form for all, and the sentences used in several places.

A sentence says what is not done, why, and what to write instead.
"""

from mitosis_gate.planner.plan import Refuse

NOT_SUPPORTED = 1235
_STATES = {
    1044: "42000",
    1048: "23000",
    1064: "42000",
    1136: "21S01",
    1231: "42000",
    1238: "HY000",
    1264: "22003",
    1406: "22001",
    1503: "HY000",
}


def refuse(sentence: str, code: int = NOT_SUPPORTED) -> Refuse:
    return Refuse(code, _STATES.get(code, "42000"), f"[gate] {sentence}")


def not_understood(what: str) -> Refuse:
    return refuse(f"this statement is not understood, so it is not sent anywhere: {what}", 1064)


def several_shards(what: str, key: str = "the sharding key") -> Refuse:
    """A read whose rows come from several shards and need more than to be put one after another."""
    return refuse(
        f"{what} over several shards is not supported: add WHERE {key} = ... so that one shard "
        "has the whole answer"
    )


def key_changed(key: str) -> Refuse:
    return refuse(
        f"column {key} is the sharding key, which decides the shard of a row, and cannot be "
        "updated: DELETE the row and INSERT it with the new key"
    )
