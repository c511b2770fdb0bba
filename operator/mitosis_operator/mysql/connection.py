"""One connection to mysqld, for the agent. The driver's errors become ours here."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql
from pymysql.constants import CR
from pymysql.cursors import DictCursor

from mitosis_operator.errors import MysqlError, MysqlUnreachable

CONNECT_SECONDS = 2.0
REMOTE_SECONDS = 15.0
"""For an answer of another instance: enough for one that starts, or whose disk is busy."""
_LOST = frozenset(
    (CR.CR_CONNECTION_ERROR, CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST)
)

Row = tuple[Any, ...]


class Connection:
    """Autocommit, as root over the unix socket unless opened by `to_remote`."""

    def __init__(self, driver: "pymysql.connections.Connection[Any]") -> None:
        self._driver = driver

    @classmethod
    def to_socket(
        cls, path: Path, *, limit_seconds: float | None = None, user: str = "root"
    ) -> Self:
        """`limit_seconds` bounds each statement; a statement over it leaves the connection closed
        and mysqld perhaps still working on it."""
        with _translated():
            driver = pymysql.connect(
                unix_socket=str(path),
                user=user,
                charset="utf8mb4",
                autocommit=True,
                ssl_disabled=True,  # else the driver loads all public authorities each time
                connect_timeout=CONNECT_SECONDS,
                read_timeout=limit_seconds,
                write_timeout=limit_seconds,
            )
        return cls(driver)

    @classmethod
    def to_remote(
        cls, ip: str, port: int, name: str, user: str, password: str, context: ssl.SSLContext
    ) -> Self:
        """Over TLS; the server must show the certificate of `name`, whatever its address."""
        with _translated():
            driver = pymysql.connect(
                host=name,  # what the certificate is checked against
                port=port,
                user=user,
                password=password,
                charset="utf8mb4",
                autocommit=True,
                ssl=context,
                read_timeout=REMOTE_SECONDS,
                write_timeout=REMOTE_SECONDS,
                defer_connect=True,
            )
            driver.connect(socket.create_connection((ip, port), CONNECT_SECONDS))
        return cls(driver)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._driver.open:
            self._driver._force_close()  # type: ignore[attr-defined]  # a polite end waits

    def execute(self, statement: str, *values: object) -> None:
        self.rows(statement, *values)

    def rows(self, statement: str, *values: object) -> list[Row]:
        with _translated(), self._driver.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def row(self, statement: str, *values: object) -> dict[str, Any] | None:
        """The first row by column name; None when there is none."""
        with _translated(), self._driver.cursor(DictCursor) as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchone()

    def value(self, statement: str, *values: object) -> Any:
        """The first column of the first row; None when there is none."""
        rows = self.rows(statement, *values)
        return rows[0][0] if rows else None


@contextmanager
def _translated() -> Iterator[None]:
    """The text is the server's: it never carries a statement's values beyond a syntax excerpt."""
    try:
        yield
    except pymysql.err.Error as exc:
        number, text = _parts(exc)
        kind = MysqlUnreachable if number in _LOST or number == 0 else MysqlError
        raise kind(f"MySQL says {number}: {text}", number) from None
    except OSError as exc:
        raise MysqlUnreachable(f"cannot reach mysqld: {exc}", CR.CR_CONN_HOST_ERROR) from exc


def _parts(exc: Exception) -> tuple[int, str]:
    if len(exc.args) >= 2 and isinstance(exc.args[0], int):
        return exc.args[0], str(exc.args[1])
    return 0, str(exc)


def quoted(name: str) -> str:
    """An identifier, safe inside any statement."""
    return "`" + name.replace("`", "``") + "`"


def grant_pattern(database: str) -> str:
    """A database in GRANT is a pattern: `_` and `%` stand for themselves only when escaped."""
    return quoted(database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"))
