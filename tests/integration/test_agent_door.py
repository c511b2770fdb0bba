"""The same questions to the fake and to real agents, so that the fake may be trusted."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents import APP, HOST, KEYSPACE, SHARD, World, until
from fakes.mysql import FakeInstances
from mitosis_operator.errors import AgentRefused, AgentUnreachable
from mitosis_operator.mysql.gtid import GtidSet
from mitosis_operator.mysql.instance import (
    Accounts,
    Arguments,
    Clone,
    DataState,
    Fence,
    Follow,
    Initialise,
    Instances,
    InstanceStatus,
    Operation,
    OperationState,
    Progress,
    Promote,
    Role,
    ThreadState,
)

FIRST, SECOND = f"{SHARD}-1", f"{SHARD}-2"


@dataclass(frozen=True)
class Door:
    """One of the two, with what differs between them."""

    doors: dict[str, Instances]
    mysql_ports: dict[str, int]

    async def status(self, name: str) -> InstanceStatus:
        return await self.doors[name].status(HOST, name)

    async def begin(self, name: str, id: str, args: Arguments, epoch: int = 1) -> OperationState:
        return await self.doors[name].start(HOST, name, Operation(id, epoch, 1, SHARD, args))

    async def do(self, name: str, id: str, args: Arguments, epoch: int = 1) -> OperationState:
        await self.begin(name, id, args, epoch)

        async def look() -> OperationState | None:
            return await self.doors[name].operation(HOST, name, id)

        ended = await until(look, lambda o: o is not None and o.state is not Progress.RUNNING, id)
        assert ended is not None
        return ended

    def donor(self, name: str) -> Clone:
        return Clone(HOST, self.mysql_ports[name], name)

    def source(self, name: str, executed: str | None = None) -> Follow:
        return Follow(HOST, self.mysql_ports[name], name, True, executed)


@asynccontextmanager
async def in_memory(folder: Path) -> AsyncIterator[Door]:
    instances = FakeInstances()
    for name in (FIRST, SECOND):
        instances.add(name, HOST)
    yield Door({name: instances for name in (FIRST, SECOND)}, {FIRST: 3306, SECOND: 3306})


@asynccontextmanager
async def real(folder: Path) -> AsyncIterator[Door]:
    world = World(folder)
    try:
        agents = [await world.agent(serial).start() for serial in (1, 2)]
        yield Door({a.name: a.client for a in agents}, {a.name: a.mysql_port for a in agents})
    finally:
        world.close()


Open = Callable[[Path], AbstractAsyncContextManager[Door]]


@pytest.mark.parametrize("opened", [in_memory, pytest.param(real, marks=pytest.mark.mysql)])
async def test_a_shard_comes_to_be_and_moves_its_primary(tmp_path: Path, opened: Open) -> None:
    async with opened(tmp_path) as door:
        await it_answers_for_empty_volumes(door)
        await it_fills_them(door)
        await it_makes_a_primary(door)
        await it_moves_the_primary(door)


async def it_answers_for_empty_volumes(door: Door) -> None:
    for name in (FIRST, SECOND):
        seen = await door.status(name)
        assert (seen.data_state, seen.role, seen.epoch) == (DataState.EMPTY, Role.NONE, 0)
        assert seen.gtid is None and not seen.writable and seen.operation is None
    with pytest.raises(AgentRefused, match="empty, not good"):
        await door.begin(FIRST, "too-early", Promote(0, False))
    assert await door.doors[FIRST].operation(HOST, FIRST, "too-early") is None
    with pytest.raises(AgentUnreachable):
        await door.doors[FIRST].status(HOST, "shop-0-4096-9")


async def it_fills_them(door: Door) -> None:
    assert (await door.do(FIRST, "init", Initialise())).state is Progress.DONE
    seen = await door.status(FIRST)
    assert seen.data_state is DataState.GOOD and not seen.writable
    assert seen.gtid is not None and seen.gtid.executed == ""
    asked = Accounts(KEYSPACE, (APP,), (1, 2), "h1")
    assert (await door.do(FIRST, "accounts", asked)).state is Progress.DONE
    seen = await door.status(FIRST)
    assert seen.accounts_hash == "h1" and not seen.writable
    assert (await door.do(SECOND, "clone", door.donor(FIRST))).state is Progress.DONE
    seen = await door.status(SECOND)
    assert (seen.data_state, seen.accounts_hash) == (DataState.GOOD, "h1")
    assert seen.replication is None


async def it_makes_a_primary(door: Door) -> None:
    begun = await door.begin(FIRST, "promote", Promote(1, True))
    assert begun.state is Progress.RUNNING
    assert (await door.do(SECOND, "follow", door.source(FIRST))).state is Progress.DONE
    assert (await door.do(FIRST, "promote", Promote(1, True))).state is Progress.DONE
    primary, replica = await door.status(FIRST), await door.status(SECOND)
    assert (primary.role, primary.writable) == (Role.PRIMARY, True)
    assert primary.semi_sync is not None and primary.semi_sync.clients == 1
    assert (replica.role, replica.writable) == (Role.REPLICA, False)
    await until(
        lambda: door.status(SECOND),
        lambda s: s.replication is not None and s.replication.io_state is ThreadState.YES,
    )
    with pytest.raises(AgentRefused, match="epoch 0 is over"):
        await door.begin(FIRST, "late", Fence(), epoch=0)
    with pytest.raises(AgentRefused, match="a replica in epoch 1"):
        await door.begin(SECOND, "second-primary", Promote(0, False))


async def it_moves_the_primary(door: Door) -> None:
    assert (await door.do(FIRST, "fence", Fence(), epoch=2)).state is Progress.DONE
    old = await until(lambda: door.status(FIRST), lambda s: s.read_only is not None)
    assert (old.role, old.fenced_epoch, old.writable) == (Role.NONE, 2, False)
    assert old.gtid is not None
    executed = GtidSet.parse(old.gtid.executed)
    await until(
        lambda: door.status(SECOND),
        lambda s: s.gtid is not None and GtidSet.parse(s.gtid.executed).contains(executed),
    )
    promoted = await door.do(SECOND, "promote-2", Promote(0, False), epoch=2)
    assert promoted.state is Progress.DONE
    with pytest.raises(AgentRefused, match="fenced at epoch 2"):
        await door.begin(FIRST, "again", Promote(0, False), epoch=2)
    new = await door.status(SECOND)
    assert new.gtid is not None
    follow = door.source(SECOND, new.gtid.executed)
    assert (await door.do(FIRST, "follow-2", follow, epoch=2)).state is Progress.DONE
    old = await door.status(FIRST)
    assert (old.role, old.writable) == (Role.REPLICA, False)
    assert old.read_only is not None and not old.read_only.offline_mode
