"""The gate follows published tables, epochs only upward, and survives what an API server does."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from patience import beside, soon, until
from tables import a_table

from fakes.api_server import FakeApiServer
from mitosis_gate.api_server import ApiServer
from mitosis_gate.routing_watch import Obeyed, RoutingBook, RoutingFile, RoutingWatch
from mitosis_routing import codec
from mitosis_routing.table import RoutingTable


async def no_pause(seconds: float) -> None:
    await asyncio.sleep(0.01)


def a_watch(door: ApiServer, book: RoutingBook, seconds: float = 30.0) -> RoutingWatch:
    return RoutingWatch(door, ["mitosis"], book, watch_seconds=seconds, pause=no_pause)


async def publish(api: FakeApiServer, table: RoutingTable, **more: str) -> None:
    await api.put(table.keyspace, codec.to_json(table), **more)


async def test_it_is_synced_after_the_first_list(api: FakeApiServer, door: ApiServer) -> None:
    await publish(api, a_table(version=7))
    book = RoutingBook()
    watch = a_watch(door, book)
    assert not watch.is_synced
    assert watch.age_seconds() == float("inf")
    async with beside(watch.run()):
        await soon(watch.wait_synced())
        assert book.table("shop").version == 7
        assert watch.age_seconds() < 10


async def test_it_is_synced_when_there_is_no_keyspace_yet(
    api: FakeApiServer, door: ApiServer
) -> None:
    watch = a_watch(door, RoutingBook())
    async with beside(watch.run()):
        await soon(watch.wait_synced())


async def test_a_new_version_is_obeyed_whole_and_told_to_listeners(
    api: FakeApiServer, door: ApiServer
) -> None:
    await publish(api, a_table(version=1))
    book = RoutingBook()
    heard: list[tuple[str, int]] = []
    book.subscribe(lambda keyspace, table: heard.append((keyspace, table.version if table else 0)))
    watch = a_watch(door, book)
    async with beside(watch.run()):
        await soon(watch.wait_synced())
        await publish(api, a_table(version=2, epochs=(2, 5)))
        table = await soon(book.wait_for("shop", 2))
    assert [s.epoch for s in table.shards] == [2, 5]
    assert heard == [("shop", 1), ("shop", 2)]


async def test_a_watch_resumes_after_the_connection_broke(
    api: FakeApiServer, door: ApiServer
) -> None:
    await publish(api, a_table(version=1))
    book = RoutingBook()
    watch = a_watch(door, book)
    async with beside(watch.run()):
        await until(lambda: api.watching == 1)
        api.cut_watches()
        await until(lambda: api.watching == 0)
        await publish(api, a_table(version=2))
        await soon(book.wait_for("shop", 2))
    lists = [r for r in api.requests if "watch=1" not in r]
    assert len(lists) == 1


async def test_a_watch_that_ends_in_time_is_begun_anew_where_it_was(
    api: FakeApiServer, door: ApiServer
) -> None:
    await publish(api, a_table(version=1))
    book = RoutingBook()
    async with beside(a_watch(door, book, seconds=1.3).run()):
        await until(lambda: api.watching == 1)
        api.skip_versions(50)
        await until(lambda: sum("watch=1" in r for r in api.requests) >= 2)
        assert "resourceVersion=151" in api.requests[-1], "the bookmark is the place to resume"


async def test_after_410_it_lists_again_and_forgets_what_is_gone(
    api: FakeApiServer, door: ApiServer
) -> None:
    await publish(api, a_table(version=1))
    await publish(api, a_table(version=1, keyspace="blog"))
    book = RoutingBook()
    watch = a_watch(door, book)
    async with beside(watch.run()):
        await until(lambda: api.watching == 1)
        api.broken = 3
        api.cut_watches()
        await until(lambda: api.broken == 0)
        await api.delete("blog")
        await publish(api, a_table(version=3))
        api.forget_history()
        api.cut_watches()
        await soon(book.wait_for("shop", 3))
        assert set(book.tables) == {"shop"}


async def test_an_older_epoch_or_version_is_never_obeyed(
    api: FakeApiServer, door: ApiServer
) -> None:
    await publish(api, a_table(version=5, epochs=(4, 4)))
    book = RoutingBook()
    watch = a_watch(door, book)
    async with beside(watch.run()):
        await soon(watch.wait_synced())
        await publish(api, a_table(version=6, epochs=(4, 3)))
        await publish(api, a_table(version=4, epochs=(9, 9)))
        await publish(api, a_table(version=7, epochs=(4, 5)))
        table = await soon(book.wait_for("shop", 6))
    assert (table.version, [s.epoch for s in table.shards]) == (7, [4, 5])


async def test_a_keyspace_made_anew_begins_a_new_history(
    api: FakeApiServer, door: ApiServer
) -> None:
    await publish(api, a_table(version=9, epochs=(4, 4)), uid="first")
    book = RoutingBook()
    watch = a_watch(door, book)
    async with beside(watch.run()):
        await soon(watch.wait_synced())
        old = book.table("shop")
        await api.delete("shop")
        await soon(book.wait_for_change("shop", old))
        assert book.get("shop") is None
        await publish(api, a_table(version=1), uid="second")
        assert (await soon(book.wait_for("shop", 1))).version == 1


async def test_tables_with_gaps_or_of_an_unknown_format_are_not_obeyed(
    api: FakeApiServer, door: ApiServer
) -> None:
    whole = a_table(version=1)
    await publish(api, whole)
    book = RoutingBook()
    watch = a_watch(door, book)
    async with beside(watch.run()):
        await soon(watch.wait_synced())
        await publish(api, replace(whole, version=2, shards=whole.shards[:1]))
        await api.put("shop", codec.to_json(a_table(version=3)) | {"formatVersion": 99})
        await api.put("shop", codec.to_json(a_table(version=4, keyspace="blog")))
        await publish(api, a_table(version=5))
        await soon(book.wait_for("shop", 2))
        assert book.table("shop").version == 5
        assert set(book.tables) == {"shop"}


async def test_the_last_table_stays_in_force_while_the_api_server_is_away(
    api: FakeApiServer, door: ApiServer
) -> None:
    await publish(api, a_table(version=1))
    book = RoutingBook()
    now = [0.0]
    watch = RoutingWatch(
        door, ["mitosis"], book, pause=no_pause, clock=lambda: now[0], watch_seconds=30
    )
    async with beside(watch.run()):
        await until(lambda: api.watching == 1)
        now[0] = 60.0
        api.broken = 1 << 30
        asked = len(api.requests)
        api.cut_watches()
        await until(lambda: len(api.requests) > asked + 3)
        assert watch.is_synced
        assert book.table("shop").version == 1
        assert watch.age_seconds() == 60.0
        api.broken = 0
        await publish(api, a_table(version=2))
        await soon(book.wait_for("shop", 2))
        assert watch.age_seconds() == 0.0


async def test_a_name_taken_by_another_namespace_is_not_obeyed() -> None:
    book = RoutingBook()
    assert book.offer(Obeyed("one", "u1", a_table())) == ""
    assert "namespace one" in book.offer(Obeyed("two", "u2", a_table(version=9)))
    book.keep_only("two", [])
    assert book.table("shop").version == 1


async def test_many_shards_make_a_long_event(api: FakeApiServer, door: ApiServer) -> None:
    book = RoutingBook()
    watch = a_watch(door, book)
    async with beside(watch.run()):
        await until(lambda: api.watching == 1)
        await publish(api, a_table(version=1, epochs=(1,) * 1024))
        table = await soon(book.wait_for("shop", 1))
    assert len(table.shards) == 1024


async def test_waiting_for_a_version_ends_with_the_patience_of_the_caller() -> None:
    book = RoutingBook()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await book.wait_for("shop", 1)


async def test_a_routing_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "routing.json"
    tables = [codec.to_json(a_table()), codec.to_json(a_table(keyspace="blog"))]
    path.write_text(json.dumps(tables))
    book = RoutingBook()
    file = RoutingFile(path, book)
    file.look()
    assert file.is_synced
    assert set(book.tables) == {"shop", "blog"}
    path.write_text("{ not json")
    file.look()
    assert set(book.tables) == {"shop", "blog"}
    path.write_text(json.dumps(codec.to_json(a_table(version=2))))
    file.look()
    assert {k: t.version for k, t in book.tables.items()} == {"shop": 2}
