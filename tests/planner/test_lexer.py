"""Where comments end, for the lexer as for MySQL."""

import pytest

from mitosis_gate.planner.lexer import BadSql, shape_of


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT /*!40001 SQL_NO_CACHE */* FROM t",
        b"SELECT /*!40001 SQL_NO_CACHE */* FROM t /* x */",
        b"SELECT /*! X'41'*/*/X'41'/**/",
    ],
)
def test_a_star_behind_an_executed_comment_is_not_taken_for_a_comment(sql):
    with pytest.raises(BadSql, match="put a space"):
        shape_of(sql)


@pytest.mark.parametrize("sql", [b"SELECT 2*/*c*/3", b"SELECT /*! 1 */, '*/*'"])
def test_a_star_before_a_comment_is_a_star(sql):
    assert len(shape_of(sql).literals) == 2
