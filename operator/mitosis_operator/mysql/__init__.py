"""Door to MySQL: what an instance tells, and what can be asked of it.

`instance.py` is the contract, shared by operator and agent. The operator speaks through
`remote.py`; the agent, beside its mysqld, through the modules that carry SQL.
"""
