"""2,000 generated statements give through the gate what they give on one plain mysqld.

`python -m tests.differential` is the same with as many statements as there is time for.
"""

from collections.abc import Iterator

import pytest
from oracle import rounds
from oracle.rounds import Count, World

pytestmark = pytest.mark.mysql

STATEMENTS = 2000
SEED = 2026
MOST_REFUSED = 0.02


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with rounds.world() as world:
        yield world


@pytest.fixture(scope="module")
def count(world: World) -> Count:
    return rounds.run(world, SEED, STATEMENTS, most_differences=10)


def test_every_statement_has_the_answer_of_one_server_or_is_refused(count: Count) -> None:
    assert not count.differences, "\n".join(count.differences)
    assert count.answered > 0.9 * STATEMENTS, count.report()


def test_few_valid_reads_are_refused(count: Count) -> None:
    assert count.reads > STATEMENTS / 2
    assert count.refused_share < MOST_REFUSED, count.report()


@pytest.mark.usefixtures("count")
@pytest.mark.parametrize(
    ("table", "key"), [("users", "user_id"), ("orders", "user_id"), ("tags", "label")]
)
def test_each_row_is_where_the_gate_looks_for_it(world: World, table: str, key: str) -> None:
    """After all the statements above: a row on the wrong shard is lost to reads by key."""
    homes = world.shards.rows(f"SELECT DISTINCT CRC32({key}) MOD 64 DIV 16 FROM {table}")
    assert [{int(home) for (home,) in rows} - {n} for n, rows in enumerate(homes)] == [set()] * 4
