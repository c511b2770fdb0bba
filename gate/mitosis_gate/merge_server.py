"""`mitosis-gate-merge`: makes a scratch mysqld ready beside the gate, and becomes it.

The scratch server finishes statements whose rows must come together in one place. It keeps nothing:
its folder is a tmpfs, it writes no binary log, and each start begins with an empty data directory,
so that nothing a crash left behind is ever read. It listens on a unix socket only, in a folder that
it shares with the gate; beside the socket lies the password of the one account that is not locked,
another one after each start.

root is locked and the account made while mysqld initialises: there is no moment at which somebody
could connect without the password. Then this process becomes mysqld, which gets the signals itself.

Nothing but the standard library is used here: the health check is a process of its own every few
seconds.
"""

import argparse
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

USER = "mitosis_merge"
PASSWORD_FILE = "password"
_CHECK_SECONDS = 5.0

_RIGHTS = (
    "SELECT, INSERT, CREATE, DROP, ALTER, INDEX, CREATE TEMPORARY TABLES, CREATE USER, "
    "CONNECTION_ADMIN, PROCESS, SESSION_VARIABLES_ADMIN, SHOW DATABASES"
)
_FIXED_OPTIONS = (
    "--no-defaults",
    # reachable by the gate, and for nothing but SQL
    "--skip-networking",
    "--mysqlx=OFF",
    "--auto-generate-certs=OFF",
    "--tls-version=",
    "--caching-sha2-password-auto-generate-rsa-keys=OFF",
    "--skip-name-resolve",
    "--secure-file-priv=NULL",
    "--local-infile=OFF",
    "--event-scheduler=DISABLED",
    # nothing outlives a restart
    "--skip-log-bin",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=OFF",
    "--innodb-flush-method=fsync",
    "--innodb-use-native-aio=OFF",
    "--innodb-buffer-pool-dump-at-shutdown=OFF",
    "--innodb-buffer-pool-load-at-startup=OFF",
    # small
    "--performance-schema=OFF",
    "--innodb-redo-log-capacity=16M",
    "--innodb-log-buffer-size=1M",
    "--innodb-data-file-path=ibdata1:12M:autoextend",
    "--innodb-temp-data-file-path=ibtmp1:12M:autoextend",
    "--innodb-autoextend-increment=1",
    "--innodb-adaptive-hash-index=OFF",
    "--loose-innodb-numa-interleave=OFF",
    "--innodb-read-io-threads=1",
    "--innodb-write-io-threads=1",
    "--innodb-purge-threads=1",
    "--innodb-page-cleaners=1",
    "--innodb-log-writer-threads=OFF",
    "--table-open-cache=256",
    "--table-open-cache-instances=1",
    "--table-definition-cache=400",
    "--max-connections=500",
    "--thread-cache-size=16",
    "--key-buffer-size=8",
    "--join-buffer-size=2M",
    "--temptable-max-ram=64M",
    "--temptable-max-mmap=0",
    # what a session does not set holds as on a server of the same version; rows of any size
    "--max-allowed-packet=1G",
    "--log-error-verbosity=2",
)


def main() -> None:
    """Entry point of `mitosis-gate-merge`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Return the exit status of `--check` or of a start that failed; else there is no return."""
    parser = argparse.ArgumentParser(
        prog="mitosis-gate-merge",
        description="scratch mysqld beside a gate; what follows -- goes to mysqld",
    )
    parser.add_argument("--data-dir", type=Path, default=Path("/var/lib/mitosis-merge"))
    parser.add_argument("--socket", type=Path, default=Path("/run/mitosis-merge/mysqld.sock"))
    parser.add_argument("--mysqld", default="mysqld")
    parser.add_argument("--buffer-pool", default="32M", help="innodb_buffer_pool_size")
    parser.add_argument("--check", action="store_true", help="does it answer? exit status 0 or 1")
    parser.add_argument("more", nargs="*", metavar="OPTION")
    given = parser.parse_args(arguments)
    if given.check:
        return _check(given.socket)
    try:
        command = [
            *(given.mysqld, *_FIXED_OPTIONS),
            f"--datadir={given.data_dir / 'data'}",
            f"--socket={given.socket}",
            f"--pid-file={given.data_dir / 'mysqld.pid'}",
            f"--tmpdir={given.data_dir / 'tmp'}",
            f"--innodb-buffer-pool-size={given.buffer_pool}",
            *given.more,
        ]
        prepare(command, given.data_dir, given.socket)
        # else each of its threads keeps memory of its own that it once needed
        os.environ.setdefault("MALLOC_ARENA_MAX", "2")
        os.execvp(command[0], command)
    except OSError as exc:
        sys.stderr.write(f"mitosis-gate-merge: cannot start {given.mysqld}: {exc}\n")
    except subprocess.CalledProcessError as exc:
        sys.stderr.write(
            f"mitosis-gate-merge: {given.mysqld} did not initialise {given.data_dir} "
            f"(exit status {exc.returncode}; its own words stand above)\n"
        )
    return 1


def prepare(command: Sequence[str], folder: Path, socket_path: Path) -> None:
    """Make a new data directory and a new password; the old ones go."""
    socket_path.unlink(missing_ok=True)
    for part in ("data", "tmp"):
        shutil.rmtree(folder / part, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    socket_path.parent.mkdir(parents=True, exist_ok=True)
    password = secrets.token_urlsafe(32)
    first = folder / "first.sql"
    _write_private(first, _first_statements(password))
    try:
        subprocess.run(
            [*command, "--initialize-insecure", f"--init-file={first}"],
            check=True,
            stdin=subprocess.DEVNULL,
        )
    finally:
        first.unlink(missing_ok=True)
    _write_private(socket_path.with_name(PASSWORD_FILE), password)


def _first_statements(password: str) -> str:
    """One statement a line, as `--init-file` wants them."""
    return (
        "ALTER USER root@localhost IDENTIFIED BY RANDOM PASSWORD ACCOUNT LOCK;\n"
        f"CREATE USER {USER}@localhost IDENTIFIED BY '{password}';\n"
        f"GRANT {_RIGHTS} ON *.* TO {USER}@localhost WITH GRANT OPTION;\n"
    )


def _write_private(path: Path, text: str) -> None:
    """Whole or not at all: the gate may read it at any time."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.rename(path)


def _check(socket_path: Path) -> int:
    """A server that greets serves."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CHECK_SECONDS)
        try:
            probe.connect(str(socket_path))
            greeting = probe.recv(5)
        except OSError as exc:
            sys.stderr.write(f"mitosis-gate-merge: no answer on {socket_path}: {exc}\n")
            return 1
    return 0 if greeting[4:] == b"\x0a" else 1


if __name__ == "__main__":
    main()
