"""GATE SHOW, process lists: what the gate answers itself."""

import pytest
from keyspaces import SCHEMA, routing_table

from mitosis_gate.planner.build import Planner
from mitosis_gate.planner.plan import GateShow, Processes, Refuse, Shown

PLANNER = Planner(SCHEMA, routing_table(4))


@pytest.mark.parametrize("what", ["SESSIONS", "POOLS", "PLANS", "SHARDS", "VERSION"])
def test_gate_show(what):
    assert PLANNER.route(b"gate show %s;" % what.lower().encode()) == GateShow(Shown(what))


@pytest.mark.parametrize("sql", [b"GATE SHOW", b"GATE SHOW ME", b"GATE", b"GATE SHOW POOLS NOW"])
def test_what_does_not_exist_is_told_what_does(sql):
    plan = PLANNER.route(sql)
    assert isinstance(plan, Refuse) and plan.code == 1064
    assert "GATE SHOW SESSIONS" in plan.message and "GATE SHOW VERSION" in plan.message


def test_process_lists():
    assert PLANNER.route(b"SHOW PROCESSLIST") == GateShow(Shown.PROCESSLIST)
    assert PLANNER.route(b"show full processlist") == GateShow(Shown.PROCESSLIST, full=True)


@pytest.mark.parametrize(
    ("sql", "whole"),
    [
        (
            b"SELECT * FROM information_schema.processlist",
            b"SELECT * FROM (rows) AS PROCESSLIST",
        ),
        (
            b"SELECT p.ID FROM `INFORMATION_SCHEMA`.`PROCESSLIST` p WHERE p.TIME > 5",
            b"SELECT p.ID FROM (rows) p WHERE p.TIME > 5",
        ),
        (
            b"SELECT COUNT(*) FROM information_schema . PROCESSLIST AS x, "
            b"information_schema.PROCESSLIST WHERE 1",
            b"SELECT COUNT(*) FROM (rows) AS x, (rows) AS PROCESSLIST WHERE 1",
        ),
    ],
)
def test_the_sessions_take_the_place_of_the_table(sql, whole):
    plan = PLANNER.route(sql)
    assert isinstance(plan, Processes)
    assert b"(rows)".join(plan.template) == whole


def test_another_table_of_that_name_is_not_meant():
    assert not isinstance(PLANNER.route(b"SELECT * FROM processlist"), Processes)
    assert not isinstance(PLANNER.route(b"SELECT 'information_schema.processlist'"), Processes)
