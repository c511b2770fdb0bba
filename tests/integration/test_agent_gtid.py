"""GTID sets in memory say what the server says."""

import itertools

import pytest

from mitosis_operator.mysql.gtid import GtidSet
from mysqld import Mysqld

pytestmark = pytest.mark.mysql

A = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
B = "4f22ab58-82db-22f2-af44-d91bb0530673"
SETS = (
    "",
    f"{A}:1-10",
    f"{A}:3-4:6",
    f"{A}:1-3:4-5:9",
    f"{A.upper()}:7",
    f"{B}:1-2,\n{A}:1",
    f"{A}:1-10:hb:1-3",
    f"{A}:hb:2-3:1:other:7,{B}:5",
)


def test_union_difference_and_form_are_those_of_the_server() -> None:
    with Mysqld("--gtid-mode=ON", "--enforce-gtid-consistency=ON") as server:
        for one, other in itertools.product(SETS, repeat=2):
            first, second = GtidSet.parse(one), GtidSet.parse(other)
            rest, is_part = server.query(
                "SELECT GTID_SUBTRACT(%s, %s), GTID_SUBSET(%s, %s)", one, other, one, other
            )[0]
            assert str(first.subtract(second)) == rest.replace("\n", "")
            assert second.contains(first) is bool(is_part)
            both = server.query("SELECT GTID_SUBTRACT(CONCAT(%s, ',', %s), '')", one, other)[0][0]
            assert str(first.union(second)) == both.replace("\n", "")
