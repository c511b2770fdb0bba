"""`mitosis mysql`: the client starts with the right login, and no password on a command line."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from objects import keyspace

from fakes.cli import FakeCluster
from mitosis_operator.cli import main, session
from mitosis_operator.cli.errors import CliError

CLIENT = """#!{python}
import json, os, sys
file = sys.argv[1].removeprefix("--defaults-extra-file=")
mode = oct(os.stat(file).st_mode & 0o777)
told = {{"argv": sys.argv[1:], "mode": mode, "options": open(file).read()}}
open({out!r}, "w").write(json.dumps(told))
sys.exit(7)
"""
KUBECTL = """#!{python}
import sys, time
open({out!r}, "w").write(repr(sys.argv[1:]))
print("Forwarding from 127.0.0.1:40123 -> 3306", flush=True)
time.sleep(60)
"""
BROKEN_KUBECTL = """#!{python}
import sys
sys.exit("error: services are forbidden")
"""


@pytest.fixture
def cluster() -> FakeCluster:
    secrets = {("shop-users", "owner"): "of#owner", ("shop-users", "password"): 'a\\b"c'}
    return FakeCluster([keyspace()], secrets=secrets)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make programs on the PATH that tell how they were called."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(name: str, source: str) -> Path:
        out = tmp_path / f"{name}.told"
        file = tmp_path / name
        file.write_text(source.format(python=sys.executable, out=str(out)))
        file.chmod(0o755)
        return out

    return make


def run(cluster: FakeCluster, *words: str) -> Any:
    return CliRunner().invoke(main, ["mysql", *words], obj=cluster)


def test_the_client_gets_login_database_and_arguments_and_its_status_is_ours(
    cluster: FakeCluster, program: Any
) -> None:
    out = program("mysql", CLIENT)
    result = run(cluster, "shop", "--via", "127.0.0.1:13306", "--", "-e", "SELECT 1")
    assert result.exit_code == 7
    told = json.loads(out.read_text())
    assert told["argv"][1:] == ["-e", "SELECT 1", "--database=shop"]
    assert told["mode"] == "0o600"
    assert 'user="owner"' in told["options"] and 'password="of#owner"' in told["options"]
    assert 'host="127.0.0.1"' in told["options"] and 'port="13306"' in told["options"]
    assert "of#owner" not in " ".join(told["argv"])
    assert not Path(told["argv"][0].removeprefix("--defaults-extra-file=")).exists()


def test_another_user_can_be_chosen_and_another_database(
    cluster: FakeCluster, program: Any
) -> None:
    out = program("mysql", CLIENT)
    run(cluster, "shop", "--as", "app", "--via", "h:1", "--", "--database=information_schema")
    told = json.loads(out.read_text())
    assert told["argv"][1:] == ["--database=information_schema"]
    assert 'password="a\\\\b"c"' in told["options"]


def test_without_an_address_a_port_is_forwarded_to_the_gate(
    cluster: FakeCluster, program: Any
) -> None:
    out, forwarded = program("mysql", CLIENT), program("kubectl", KUBECTL)
    assert run(cluster, "shop").exit_code == 7
    assert 'port="40123"' in json.loads(out.read_text())["options"]
    for word in ("--context=test", "port-forward", "--namespace=mitosis", "service/mitosis-gate"):
        assert word in forwarded.read_text()


def test_a_forward_that_fails_says_what_kubectl_said(cluster: FakeCluster, program: Any) -> None:
    program("mysql", CLIENT)
    program("kubectl", BROKEN_KUBECTL)
    result = run(cluster, "shop")
    assert result.exit_code == 1 and "services are forbidden" in result.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["shop"], "no program 'mysql'"),
        (["shop", "--client", "mariadb"], "no program 'mariadb'"),
    ],
)
def test_a_missing_client_is_named(
    cluster: FakeCluster, program: Any, words: list[str], sentence: str
) -> None:
    result = run(cluster, *words)
    assert result.exit_code == 1 and sentence in result.output


def test_an_unknown_user_is_refused_with_those_there_are(
    cluster: FakeCluster, program: Any
) -> None:
    program("mysql", CLIENT)
    result = run(cluster, "shop", "--as", "root")
    assert result.exit_code == 1 and "there are owner, app" in result.output


def test_a_keyspace_without_users_says_what_to_add() -> None:
    body = keyspace()
    body["spec"]["users"] = []
    with pytest.raises(CliError, match="spec.users"):
        session.choose_login(body, None)


@pytest.mark.parametrize("text", ["localhost", "3306", ":3306", "host:port", "host:"])
def test_an_address_without_host_or_port_is_refused(text: str) -> None:
    with pytest.raises(CliError, match="write HOST:PORT"):
        session.read_endpoint(text)


def test_an_address_may_be_ipv6() -> None:
    assert session.read_endpoint("[::1]:3306") == session.Endpoint("::1", 3306)
