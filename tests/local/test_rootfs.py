import subprocess
from pathlib import Path

import pytest

from mitosis_local import rootfs
from mysqld import Mysqld, program, server_tls


@pytest.fixture
def wrapper(tmp_path: Path) -> Path:
    """The wrapper of mysqld around a loader that only shows how it was called."""
    root = tmp_path / "root"
    loader = root / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    loader.parent.mkdir(parents=True)
    loader.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    loader.chmod(0o755)
    file = tmp_path / "mysqld"
    file.write_text(rootfs.wrapper(root, "mysqld"))
    file.chmod(0o755)
    return file


def words_after_program(wrapper: Path, *arguments: str) -> list[str]:
    words = subprocess.check_output([wrapper, *arguments], text=True).splitlines()
    return words[words.index(next(w for w in words[4:] if w.endswith("/mysqld"))) :][1:]


def test_files_of_the_host_are_not_read_unless_asked_for(wrapper: Path) -> None:
    assert "--no-defaults" in words_after_program(wrapper, "--port=1")


def test_a_file_with_options_stays_in_front_and_others_win_over_ours(wrapper: Path) -> None:
    words = words_after_program(wrapper, "--defaults-file=/x.cnf", "--plugin-dir=/mine")
    assert "--no-defaults" not in words
    assert words.index("--defaults-file=/x.cnf") < min(
        position for position, word in enumerate(words) if word.startswith("--character-sets-dir")
    )
    assert words[-1] == "--plugin-dir=/mine"


@pytest.mark.mysql
def test_a_client_comes_in_over_tls_and_the_plugins_are_there(tmp_path: Path) -> None:
    plugins = "--plugin-load-add=semisync_source.so;semisync_replica.so;mysql_clone.so"
    tls = server_tls(tmp_path)
    with Mysqld(plugins, tls=tls) as server:
        server.query("CREATE USER u@'%' IDENTIFIED BY 'secret' REQUIRE SSL")
        shown = subprocess.run(
            [
                program("mysql"),
                "--host=127.0.0.1",
                f"--port={server.port}",
                "--user=u",
                "--password=secret",
                "--ssl-mode=VERIFY_CA",
                f"--ssl-ca={tls.ca}",
                "--batch",
                "--skip-column-names",
                "--execute=SELECT CURRENT_USER()",
            ],
            capture_output=True,
            text=True,
        )
        active = server.query(
            "SELECT PLUGIN_NAME FROM information_schema.PLUGINS WHERE PLUGIN_STATUS = 'ACTIVE'"
        )
    assert shown.stdout == "u@%\n"
    names = {str(name).lower() for (name,) in active}
    assert {"rpl_semi_sync_source", "rpl_semi_sync_replica", "clone"} <= names


@pytest.mark.mysql
def test_two_servers_differ_and_one_keeps_its_data_over_a_crash() -> None:
    with Mysqld() as first, Mysqld() as second:
        uuids = {server.query("SELECT @@server_uuid")[0][0] for server in (first, second)}
        assert len(uuids) == 2
        first.query("CREATE DATABASE kept")
        first.kill()
        first.start()
        assert ("kept",) in first.query("SHOW DATABASES")
