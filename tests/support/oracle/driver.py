"""mysql.connector, told of errors behind rows, and of years.

As it comes, it waits for ever when a statement in the binary protocol fails after its first row, as
it takes the error for the row before, and reads the two bytes of a YEAR as text.
"""

from typing import Any

from mysql.connector.connection import MySQLConnection
from mysql.connector.constants import FieldType
from mysql.connector.protocol import MySQLProtocol


class Connection(MySQLConnection):
    def _open_connection(self) -> None:
        super()._open_connection()
        self._protocol = _Protocol()


class _Protocol(MySQLProtocol):
    def read_binary_result(
        self, sock: Any, columns: Any, count: int = 1, *more: Any, **named: Any
    ) -> tuple[list[Any], Any]:
        rows: list[Any] = []
        columns = [_as_number(column) for column in columns]
        while len(rows) != count:
            row, end = super().read_binary_result(sock, columns, 1, *more, **named)
            rows += row
            if end is not None:
                return rows, end
        return rows, None


def _as_number(column: Any) -> Any:
    name, kind, *more = column
    return (name, FieldType.SHORT if kind == FieldType.YEAR else kind, *more)
