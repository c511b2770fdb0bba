"""The judge of the gate: the same statements on one plain mysqld and through the gate.

kinds.py       column types with values, and what their values look like to a comparison
schemas.py     tables of a round, made at random from a seed
expressions.py expressions of a wanted kind
queries.py     SELECT statements
writes.py      INSERT, REPLACE, UPDATE, DELETE
compare.py     one statement, two answers: the same, a refusal, or a difference
driver.py      a driver that reads what both send
rounds.py      fill both sides, run statements, keep count
parts.py       many rounds, in several processes
"""
