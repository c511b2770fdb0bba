"""The row that the primary writes each second, and its age on a replica: the lag that is true even
when the source is gone. There is more than one row only after commits hung (see the agent)."""

from mitosis_operator.mysql.connection import Connection


def beat(connection: Connection, row: int, epoch: int) -> None:
    connection.execute(
        "REPLACE INTO mitosis.heartbeat (id, beat_at, epoch) VALUES (%s, UTC_TIMESTAMP(6), %s)",
        row,
        epoch,
    )


def age_seconds(connection: Connection) -> float | None:
    """None: no beat has arrived here yet. Differences between the machines' clocks are inside."""
    age = connection.value(
        "SELECT TIMESTAMPDIFF(MICROSECOND, MAX(beat_at), UTC_TIMESTAMP(6)) FROM mitosis.heartbeat"
    )
    return None if age is None else max(0.0, int(age) / 1e6)
