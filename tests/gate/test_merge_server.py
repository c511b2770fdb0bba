"""The start of the merge server, with a program in the place of mysqld."""

import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mitosis_gate import merge_server

PRETENDS = """#!/bin/sh
for option; do
  case "$option" in
    --init-file=*) cat "${option#--init-file=}" >> "$0.first" ;;
    --initialize-insecure) echo "$@" > "$0.options" ;;
  esac
done
exit ${EXIT:-0}
"""


@pytest.fixture
def mysqld(tmp_path: Path) -> Path:
    program = tmp_path / "mysqld"
    program.write_text(PRETENDS)
    program.chmod(0o755)
    return program


def test_each_start_begins_empty_and_with_another_password(tmp_path: Path, mysqld: Path) -> None:
    folder, path = tmp_path / "data", tmp_path / "run" / "mysqld.sock"
    passwords = []
    for _ in range(2):
        (folder / "data").mkdir(parents=True, exist_ok=True)
        (folder / "data" / "left").touch()
        merge_server.prepare([str(mysqld)], folder, path)
        assert not (folder / "data" / "left").exists()
        file = path.with_name(merge_server.PASSWORD_FILE)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        passwords.append(file.read_text())
    assert passwords[0] != passwords[1]
    first = (tmp_path / "mysqld.first").read_text()
    assert all(f"IDENTIFIED BY '{password}'" in first for password in passwords)
    assert "root@localhost IDENTIFIED BY RANDOM PASSWORD ACCOUNT LOCK" in first
    assert not list(folder.glob("*.sql")), "the password stands in one file only"


def test_a_server_that_does_not_initialise_is_told(
    tmp_path: Path,
    mysqld: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EXIT", "3")
    options = [f"--data-dir={tmp_path / 'd'}", f"--socket={tmp_path / 's'}", f"--mysqld={mysqld}"]
    assert merge_server.run(options) == 1
    assert "exit status 3" in capfd.readouterr().err
    options[2] = f"--mysqld={tmp_path / 'none'}"
    assert merge_server.run(options) == 1
    assert "cannot start" in capfd.readouterr().err


def test_the_server_is_closed_to_all_but_the_socket(tmp_path: Path, mysqld: Path) -> None:
    command = [
        *(sys.executable, "-c", "import sys; from mitosis_gate import merge_server as m; m.main()"),
        f"--data-dir={tmp_path / 'd'}",
        f"--socket={tmp_path / 's'}",
        *(f"--mysqld={mysqld}", "--", "--user=root"),
    ]
    subprocess.run(command, check=True)
    options = (tmp_path / "mysqld.options").read_text().split()
    assert {"--skip-networking", "--mysqlx=OFF", "--secure-file-priv=NULL"} <= set(options)
    assert {"--local-infile=OFF", "--skip-log-bin", "--user=root"} <= set(options)
    assert options[0] == "--no-defaults", "no file of the machine changes what it is"


def test_a_server_that_greets_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s"
    check = [f"--socket={path}", "--check"]
    assert merge_server.run(check) == 1
    assert "no answer" in capsys.readouterr().err
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def greet(*answers: bytes) -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(answer)

        thread = threading.Thread(target=greet, args=(b"J\0\0\0\x0a9.7", b"\x17\0\0\0\xff"))
        thread.start()
        assert merge_server.run(check) == 0
        assert merge_server.run(check) == 1, "too many connections is not well"
        thread.join()
