"""What a routing table says of its tables survives JSON, and what an older operator left out."""

import pytest

from mitosis_routing import codec
from mitosis_routing.table import RoutingTable, UniqueKeys


@pytest.mark.parametrize("wish", UniqueKeys)
def test_what_becomes_of_unique_keys_is_kept(wish: UniqueKeys) -> None:
    table = RoutingTable("shop", 1, 16, unique_keys=wish)
    assert codec.from_json(codec.to_json(table)) == table


def test_a_table_of_an_older_operator_warns_of_unique_keys() -> None:
    body = codec.to_json(RoutingTable("shop", 1, 16, unique_keys=UniqueKeys.STRICT))
    del body["uniqueKeys"]
    assert codec.from_json(body).unique_keys is UniqueKeys.WARN


def test_a_word_that_is_not_known_makes_no_table() -> None:
    body = {**codec.to_json(RoutingTable("shop", 1, 16)), "uniqueKeys": "ignore"}
    with pytest.raises(codec.BadTable, match="ignore"):
        codec.from_json(body)
