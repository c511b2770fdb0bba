"""Look, decide, act.

`observe.py` gathers facts into a frozen value (`seen.py`), pure functions decide (`health.py` for
shards, `keyspaces.py` for keyspaces), `apply.py` does what was decided.

Bringing a shard up is no stored sequence of steps: every pass derives from what is seen which steps
are due, so the code that makes the first instance is the code that replaces the third one a year
later, and an operator that dies between two steps leaves nothing to be taken up again. The few
facts that cannot be seen are decisions, and those stand in `Shard.status` before they are acted on:
who is primary at which epoch, and how far the shard has ever come (condition Bootstrapped).
"""
