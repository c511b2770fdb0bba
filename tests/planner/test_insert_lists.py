"""An INSERT without a list of columns takes along the list by which its shard was found."""

import pytest
from keyspaces import KEYSPACES, SCHEMA

from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.plan import OneShard, OneShardAs

PLANNER = Planner(SCHEMA, KEYSPACES["four shards"])


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        (
            b"INSERT INTO users VALUES (1, 'x')",
            b"INSERT INTO users (`user_id`, `name`) VALUES (1, 'x')",
        ),
        (
            b"REPLACE shop.users VALUE (1, 'x')",
            b"REPLACE shop.users (`user_id`, `name`) VALUE (1, 'x')",
        ),
        (
            b"insert ignore `users`values(1,'x'),(1,'y') ON DUPLICATE KEY UPDATE name = 'z'",
            b"insert ignore `users` (`user_id`, `name`) values(1,'x'),(1,'y')"
            b" ON DUPLICATE KEY UPDATE name = 'z'",
        ),
    ],
)
def test_the_list_is_sent_along(sql: bytes, text: bytes) -> None:
    for _ in range(3):
        plan = PLANNER.route(sql)
        assert isinstance(plan, OneShardAs)
        assert plan.text == text


def test_values_of_another_statement_of_the_shape_are_its_own() -> None:
    PLANNER.route(b"INSERT INTO users VALUES (1, 'x')")
    plan = PLANNER.route(b"INSERT INTO users VALUES (77, '?')")
    assert isinstance(plan, OneShardAs)
    assert plan.text == b"INSERT INTO users (`user_id`, `name`) VALUES (77, '?')"


def test_a_statement_with_a_list_goes_as_it_is() -> None:
    assert type(PLANNER.route(b"INSERT INTO users (name, user_id) VALUES ('x', 1)")) is OneShard
    assert type(PLANNER.route(b"INSERT INTO users SET user_id = 1")) is OneShard
