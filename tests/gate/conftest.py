"""What the tests of following routing tables share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from fakes.api_server import FakeApiServer
from mitosis_gate.api_server import ApiServer


@pytest_asyncio.fixture
async def api() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as server:
        yield server


@pytest.fixture
def door(api: FakeApiServer, tmp_path: Path) -> ApiServer:
    return ApiServer(api.url, tmp_path)
