"""Record what real clients and a real mysqld say to each other, for the tests of the codec.

    python tests/wire/record.py

writes `captures/<name>.hex`: a line for each piece, `C` from the client, `S` from the server,
joined as far as nobody else spoke in between.
"""

import datetime
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import mysql.connector
import pymysql

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from mysqld import Mysqld, program

CAPTURES = Path(__file__).resolve().parent / "captures"
USER, PASSWORD = "app", "secret"
TABLE = (
    "CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(20), price DECIMAL(8,2), "
    "born DATETIME(3), doc JSON)"
)


class Relay:
    """One connection, passed on and written down."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pieces: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self._server_port))
        back = threading.Thread(target=self._pass_on, args=("S", server, client))
        back.start()
        self._pass_on("C", client, server)
        back.join()

    def _pass_on(self, who: str, source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(1 << 16):
            with self._lock:
                self._pieces.append((who, data))
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    def finish(self, name: str) -> None:
        self._thread.join()
        self._listener.close()
        joined: list[tuple[str, bytes]] = []
        for who, data in self._pieces:
            if joined and joined[-1][0] == who:
                joined[-1] = (who, joined[-1][1] + data)
            else:
                joined.append((who, data))
        CAPTURES.mkdir(exist_ok=True)
        text = "".join(f"{who} {data.hex()}\n" for who, data in joined)
        (CAPTURES / f"{name}.hex").write_text(text)


def record(name: str, server: Mysqld, talk: Callable[[int], None]) -> None:
    relay = Relay(server.port)
    talk(relay.port)
    relay.finish(name)


def with_pymysql(port: int) -> None:
    connection = pymysql.connect(
        host="127.0.0.1",
        port=port,
        user=USER,
        password=PASSWORD,
        database="d",
        autocommit=True,
        ssl_disabled=True,
    )
    with connection.cursor() as cursor:
        for statement in (
            "INSERT INTO t (name, price, born, doc) VALUES ('a', 1.50, '2026-01-02', '[1]')",
            "SELECT * FROM t",
            "SELECT NULL, '', REPEAT('x', 300)",
            "SELECT 1 FROM t WHERE id = 0",
            "UPDATE t SET name = 'b'",
            "SET time_zone = '+02:00'",
            "BEGIN",
            "COMMIT",
        ):
            cursor.execute(statement)
        try:
            cursor.execute("SELECT nothing FROM t")
        except pymysql.err.OperationalError:
            pass
    connection.ping()
    connection.close()


def with_connector(port: int) -> None:
    connection = mysql.connector.connect(
        host="127.0.0.1",
        port=port,
        user=USER,
        password=PASSWORD,
        database="d",
        use_pure=True,
        ssl_disabled=True,
    )
    with connection.cursor(prepared=True) as cursor:
        moment = datetime.datetime(2026, 3, 4, 5, 6, 7, 89000)
        insert = "INSERT INTO t (id, name, price, born) VALUES (?, ?, ?, ?)"
        cursor.execute(insert, (7, "seven", 7.25, moment))
        cursor.execute(insert, (-8, None, 0.5, None))
        cursor.execute("SELECT * FROM t WHERE id = ?", (7,))
        cursor.fetchall()
    connection.commit()
    connection.close()


def with_mysql(port: int) -> None:
    statements = (
        "SELECT id, name FROM t; SHOW WARNINGS; SELECT REPEAT('y', 1000); USE d; SELECT nothing;"
    )
    command = [
        str(program("mysql")),
        *("-h127.0.0.1", f"-P{port}", f"-u{USER}", f"-p{PASSWORD}"),
        *("--ssl-mode=DISABLED", "--get-server-public-key", "--force", "d"),
    ]
    subprocess.run(command, input=statements.encode(), capture_output=True, check=False)


def main() -> None:
    with Mysqld() as server:
        server.query("CREATE DATABASE d")
        server.query(f"CREATE USER {USER}@'%%' IDENTIFIED BY %s", PASSWORD)
        server.query(f"GRANT ALL ON d.* TO {USER}@'%'")
        server.query(TABLE)
        record("pymysql-full-login", server, with_pymysql)
        record("pymysql-fast-login", server, with_pymysql)
        record("connector-prepared", server, with_connector)
        record("mysql-client", server, with_mysql)


if __name__ == "__main__":
    main()
