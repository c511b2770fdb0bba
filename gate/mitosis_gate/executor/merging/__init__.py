"""The rows of several shards become the rows of one answer, while they come.

recipe (planner.plan.Recipe) ── streams.py   shards read, rows sent, windows, ends
                                 ├── ordered.py   blocks of sorted rows → one order
                                 ├── groups.py    rows of a group → one row
                                 ├── keys.py      values → keys that Python compares as MySQL does
                                 ├── values.py    arithmetic and notation of MySQL
                                 └── rows.py      the two row formats, text and binary

Nothing here evaluates an expression: what a shard can compute it has computed, in hidden columns
where the client must not see it. Everything but streams.py is pure.
"""
