"""CLONE: filling an empty server with a copy of another one's data.

The recipient loses what it had at the very start of the statement and is left empty and writable
when it fails, so its volume is marked before. Success ends with mysqld restarting itself.
"""

from typing import Any

from mitosis_operator.errors import MysqlError, MysqlUnreachable
from mitosis_operator.mysql.connection import Connection
from mitosis_operator.mysql.instance import CloneStatus

NOT_SUPERVISED = 3707
COMPLETED = "Completed"


def receive(connection: Connection, host: str, port: int, user: str, password: str) -> None:
    """Return when the data is here and mysqld goes down to restart; raises MysqlError on failure.

    Read-only is lifted, else CLONE fails at its first stage; offline mode keeps everybody else out.
    """
    connection.execute("SET GLOBAL offline_mode = ON")
    connection.execute("SET GLOBAL super_read_only = OFF")
    connection.execute("SET GLOBAL clone_valid_donor_list = %s", f"{host}:{port}")
    try:
        connection.execute(
            f"CLONE INSTANCE FROM %s@%s:{int(port)} IDENTIFIED BY %s REQUIRE SSL",
            user,
            host,
            password,
        )
    except MysqlUnreachable:
        return
    except MysqlError as exc:
        if exc.number != NOT_SUPERVISED:
            raise


def status(connection: Connection) -> CloneStatus | None:
    """Of the last clone that this data directory received, also after the restart."""
    row = connection.row(
        "SELECT STATE, ERROR_NO, ERROR_MESSAGE, SOURCE FROM performance_schema.clone_status"
    )
    return _status(row, _stages(connection)) if row else None


def _stages(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.rows(
        "SELECT STAGE, STATE, ESTIMATE, DATA FROM performance_schema.clone_progress ORDER BY ID"
    )


def _status(row: dict[str, Any], stages: list[tuple[Any, ...]]) -> CloneStatus:
    begun = [stage for stage, state, _, _ in stages if state != "Not Started"]
    return CloneStatus(
        state=row["STATE"],
        stage=begun[-1] if begun else "",
        donor=row["SOURCE"] or "",
        done_bytes=sum(int(data) for _, _, _, data in stages),
        estimate_bytes=sum(int(estimate) for _, _, estimate, _ in stages),
        error_number=int(row["ERROR_NO"]),
        error=row["ERROR_MESSAGE"] or "",
    )
