"""Which kinds of tests run: plain ones always, the others when asked for."""

from pathlib import Path

import pytest
from stories import go_story

KINDS = {
    "mysql": ("--with-mysql", "also run the tests that need a real mysqld"),
    "e2e": ("--with-cluster", "also run the tests that need the local Kubernetes cluster"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    for option, text in KINDS.values():
        parser.addoption(option, action="store_true", help=text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect, rather than skip, the kinds that were not asked for: the summary counts them."""
    left_out = [kind for kind, (option, _) in KINDS.items() if not config.getoption(option)]
    deselected = [i for i in items if any(i.get_closest_marker(kind) for kind in left_out)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [i for i in items if i not in set(deselected)]


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The story in Go, compiled."""
    return go_story.build(tmp_path_factory.mktemp("go"))
