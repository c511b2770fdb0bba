"""What a gate keeps in mind of a table, as a text: its *picture*.

Two tables whose pictures are alike (`are_alike`) are planned alike, or a shard refuses what was
planned for the other: rows go to the same shards, get numbers from the same column, and the columns
that both have are of the same kind and stand in the same order. When a name gets a picture that is
not like the one it had, gates that still have the old one could send rows to the wrong shard, and
nobody would notice; so such a change waits until none has it (`executor.ddl_jobs`). A difference
that is none in truth costs that wait and nothing else.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from mitosis_gate.planner.definitions import Definition, key_facts
from mitosis_gate.planner.layout import Living, Place
from mitosis_gate.planner.pulling import base_type
from mitosis_gate.planner.table_names import living_of
from mitosis_routing.hashing import KeyColumn, KeyKind
from mitosis_routing.table import TableRule

Picture = tuple[str, str]
"""The name of a table and what it looks like."""


def picture_of(name: str, place: Place) -> Picture:
    """Of a table that exists, under this name."""
    columns = place.table.columns
    key = place.table.column(place.key_name) if place.living is Living.SHARDED else None
    return name, _text(
        place.living.value,
        place.key_name.lower(),
        _key(place.key, key.collation if key else ""),
        [c.name.lower() for c in columns if c.auto_increment],
        [(c.name.lower(), base_type(c)) for c in columns],
    )


def picture_of_new(
    name: str, rule: TableRule, definitions: Sequence[Definition], table_collation: str
) -> Picture:
    """Of a table that a CREATE TABLE describes."""
    key = next((d for d in definitions if d.name.lower() == rule.sharding_key.lower()), None)
    facts = key_facts(key, table_collation) if key is not None else None
    collation = (key.after("COLLATE") if key is not None else "") or table_collation
    numbered = (d for d in definitions if d.has("AUTO_INCREMENT") or d.type == "serial")
    return name, _text(
        living_of(rule).value,
        rule.sharding_key.lower(),
        _key(facts if isinstance(facts, KeyColumn) else None, collation),
        [d.name.lower() for d in numbered],
        [(d.name.lower(), _base(d.type)) for d in definitions],
    )


def _key(facts: KeyColumn | None, collation: str) -> str:
    """Whether text is padded is a matter of its collation, which is told by its name."""
    if facts is None:
        return ""
    text = collation if facts.kind is KeyKind.TEXT else ""
    return f"{replace(facts, pad_space=False)} {text}"


_SYNONYMS = {
    "integer": "int",
    "bool": "tinyint",
    "boolean": "tinyint",
    "dec": "decimal",
    "numeric": "decimal",
    "fixed": "decimal",
    "real": "double",
    "serial": "bigint",
}


def _base(kind: str) -> str:
    """As `base_type`, of what stands in a definition."""
    word = kind.partition("(")[0].partition(" ")[0]
    return _SYNONYMS.get(word, word)


def _text(*facts: object) -> str:
    return json.dumps(facts)


def are_alike(one: str, other: str) -> bool:
    """Of two pictures of the same name; what is none (of a view) is like itself only."""
    if one == other:
        return True
    try:
        *facts, columns = json.loads(one)
        *other_facts, other_columns = json.loads(other)
    except ValueError:
        return False
    names = {name for name, _ in columns} & {name for name, _ in other_columns}
    common = [column for column in columns if column[0] in names]
    other_common = [column for column in other_columns if column[0] in names]
    return bool(facts == other_facts and common == other_common)
