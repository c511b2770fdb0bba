"""The demo is the world of the end-to-end tests: what a user has after `make demo`."""

import sys
from collections.abc import Iterator

import pytest
from ledger import TABLE, Ledger
from world import PATHS, Login, local, password, run, wait_ready

DEMO_LIMIT_SECONDS = 1800
WARM_UP_ROWS = 40


@pytest.fixture(scope="session")
def demo_output() -> Iterator[str]:
    """What the demo printed; it brings the cluster up, or finds it up and changes nothing.

    A cluster that was not there before is taken down again, which fails when anything is left.
    """
    was_up = PATHS.kubeconfig.exists()
    yield run(sys.executable, "-m", "mitosis_local.demo", seconds=DEMO_LIMIT_SECONDS).out
    if not was_up:
        local("down")


@pytest.fixture(scope="session")
def shop_login(demo_output: str) -> Login:
    return Login("owner", password("shop-users", "owner"), "shop")


@pytest.fixture
def shop(shop_login: Login) -> Iterator[Login]:
    """The demo's account, the keyspace Ready before and after: no test blames the one before it."""
    wait_ready("keyspace", "shop", seconds=180)
    yield shop_login
    wait_ready("keyspace", "shop", seconds=300)


@pytest.fixture
def ledger(shop: Login) -> Iterator[Ledger]:
    """Writers at work on both shards while the test does its damage; `verify` judges."""
    shop.query("DROP TABLE IF EXISTS ledger")
    shop.query(TABLE)
    with Ledger(shop.connect, writers=4) as running:
        running.wait_for(WARM_UP_ROWS)
        yield running
