"""What the gates keep in MySQL itself: the database `mitosis` on the primary of each shard.

The statements are given as text, because two programs run them: the operator's agent on each
primary, and the tests. All can be run again on a shard that has some of it; replicas get it by
replication. `VERSION` rises with each change here, so that existing shards are brought up to date.

- `decisions`: how transactions over several shards ended. The row is written in the transaction of
  their first shard, so that its commit is the decision. Users hold no right on the table: they call
  `decide`, which writes one row with the rights of an account that nobody can log in to.
- `sequences`: the next number of each AUTO_INCREMENT column of a sharded table; used on the first
  shard (the owner of slot 0) only.
- `ddl_jobs`, `schema_epoch`: changes of the schema under way, and how often it has changed; used on
  the first shard only.

`decisions.at` is when the row was written or last asked for. An outcome, once written, never
changes: nothing here updates it.
"""

VERSION = 1

DATABASE = "mitosis"
_DEFINER = "'mitosis_definer'@'localhost'"
_TABLES = ("decisions", "sequences", "ddl_jobs", "schema_epoch")

SCHEMA = (
    f"CREATE DATABASE IF NOT EXISTS {DATABASE}",
    f"CREATE TABLE IF NOT EXISTS {DATABASE}.decisions ("
    "gtrid VARBINARY(64) NOT NULL PRIMARY KEY, "
    "outcome ENUM('commit', 'abort') NOT NULL, "
    "at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), "
    "KEY (at))",
    f"CREATE TABLE IF NOT EXISTS {DATABASE}.sequences ("
    "name VARCHAR(192) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, "
    "next BIGINT UNSIGNED NOT NULL, "
    "taker VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '', "
    "settled_at TIMESTAMP(6) NULL)",
    f"CREATE TABLE IF NOT EXISTS {DATABASE}.ddl_jobs ("
    "id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, "
    "statement LONGBLOB NOT NULL, "
    "state ENUM('running', 'done', 'failed') NOT NULL, "
    "progress JSON NOT NULL, "
    "owner VARCHAR(190) NOT NULL, "
    "made_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), "
    "changed_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) "
    "ON UPDATE CURRENT_TIMESTAMP(6))",
    f"CREATE TABLE IF NOT EXISTS {DATABASE}.schema_epoch ("
    "id TINYINT NOT NULL PRIMARY KEY, "
    "epoch BIGINT UNSIGNED NOT NULL)",
    f"CREATE USER IF NOT EXISTS {_DEFINER} ACCOUNT LOCK",
    f"GRANT INSERT ON {DATABASE}.decisions TO {_DEFINER}",
    f"CREATE DEFINER = {_DEFINER} PROCEDURE IF NOT EXISTS {DATABASE}.decide "
    "(IN of_gtrid VARBINARY(64), IN as_outcome VARCHAR(6) CHARACTER SET ascii) "
    "MODIFIES SQL DATA SQL SECURITY DEFINER "
    f"INSERT INTO {DATABASE}.decisions (gtrid, outcome) VALUES (of_gtrid, as_outcome)",
    f"GRANT EXECUTE ON PROCEDURE {DATABASE}.decide TO {_DEFINER}",
)

GATE_ON_ALL = frozenset(("XA_RECOVER_ADMIN",))
"""Global privileges of the gate's own account: to see the prepared branches of all users."""


def gate_grants(account: str) -> tuple[str, ...]:
    """`account`: as SQL, `'mitosis_gate'@'%'`. Run after SCHEMA; besides GATE_ON_ALL."""
    return tuple(
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {DATABASE}.{table} TO {account}"
        for table in _TABLES
    )


def user_grants(account: str) -> tuple[str, ...]:
    """What each user of the keyspace needs so that its transactions can span shards."""
    return (f"GRANT EXECUTE ON PROCEDURE {DATABASE}.decide TO {account}",)
