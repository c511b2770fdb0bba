"""What clients cost the gate: memory of an idle one, thousands at once, coming and going.

10,000 connections are opened and left idle; 1,000 of them then run a statement at the same time,
over and over; after they are gone, clients connect, read a row and leave. The last line is JSON.

    python benchmarks/connections.py [--idle 10000] [--active 1000] [--churn 20000]
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

import pymysql
from gates import GateProcess, Shards
from peers import cpu_seconds
from pymysql.constants import COMMAND

ROUNDS = 20
SPARE_FILES = 4096
WARM = 200


def connect(gate: GateProcess) -> "pymysql.connections.Connection":
    return gate.connect(autocommit=True)


def read(connection: "pymysql.connections.Connection", user: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT name FROM users WHERE user_id = {user}")
        assert cursor.fetchall() == ((f"user {user}",),)


def together(connections: list["pymysql.connections.Connection"]) -> float:
    """Each has a statement under way before the first answer is read; statements in a second."""
    begun = time.monotonic()
    for number in range(ROUNDS):
        for place, connection in enumerate(connections):
            user = (place + number) % 100
            sql = f"SELECT name FROM users WHERE user_id = {user}"
            connection._execute_command(COMMAND.COM_QUERY, sql)
        for connection in connections:
            connection._read_query_result()
    return ROUNDS * len(connections) / (time.monotonic() - begun)


def churn(gate: GateProcess, count: int) -> float:
    """Milliseconds of the gate's CPU for a client that comes, reads one row and goes."""
    before = cpu_seconds(gate.pid)
    for number in range(count):
        connection = connect(gate)
        read(connection, number % 100)
        connection.close()
    return (cpu_seconds(gate.pid) - before) / count * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--active", type=int, default=1_000)
    parser.add_argument("--churn", type=int, default=20_000)
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < given.idle + SPARE_FILES:
        sys.exit(f"a process may open {most} files only: raise the limit, or lower --idle")
    with Shards(2) as shards:
        clients = f"--max-clients={given.idle + 10}"
        with GateProcess(shards.table(), shards.users(), clients, "--pool-wait-seconds=60") as gate:
            with connect(gate) as connection, connection.cursor() as cursor:
                cursor.execute("CREATE TABLE users (user_id BIGINT PRIMARY KEY, name VARCHAR(40))")
                for user in range(100):
                    cursor.execute(f"INSERT INTO users VALUES ({user}, 'user {user}')")
            churn(gate, WARM)
            empty = gate.resident_bytes()
            begun = time.monotonic()
            connections = [connect(gate) for _ in range(given.idle)]
            logins = given.idle / (time.monotonic() - begun)
            for connection in connections:
                read(connection, 7)
            idle = (gate.resident_bytes() - empty) / given.idle / 1024
            print(f"{given.idle} idle: {idle:.1f} KiB each; {logins:.0f} logins/s")
            rate = together(connections[: given.active])
            print(f"{given.active} at once: {rate:.0f} statements/s")
            for connection in connections:
                connection.close()
            cost = churn(gate, given.churn // 2)
            half = gate.resident_bytes()
            churn(gate, given.churn // 2)
            growth = (gate.resident_bytes() - half) / 1024
            print(f"{given.churn} clients one after the other: {cost:.2f} ms of CPU each")
    print(
        json.dumps(
            {
                "benchmark": "connections",
                "idle": given.idle,
                "idle_kib_each": round(idle, 1),
                "active": given.active,
                "statements_per_second": round(rate),
                "churn": given.churn,
                "churn_cpu_ms_each": round(cost, 2),
                "growth_kib_in_second_half_of_churn": round(growth),
            }
        )
    )


if __name__ == "__main__":
    main()
