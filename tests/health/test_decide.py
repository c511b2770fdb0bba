"""What is seen of a shard -> what is done about it. One row, one situation."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

import builders
from mitosis_operator import names
from mitosis_operator.models.cluster import Node
from mitosis_operator.models.problems import Problem, Severity
from mitosis_operator.models.shard import Shard
from mitosis_operator.mysql.instance import (
    Accounts,
    Clone,
    DataState,
    DiskStatus,
    GtidStatus,
    InstanceStatus,
    MysqldState,
    MysqldStatus,
    OperationState,
    Progress,
    Promote,
    ReplicationStatus,
    Role,
    SemiSyncStatus,
    ThreadState,
    Verb,
)
from mitosis_operator.reconcile.actions import ApplyShared, Call, Publish
from mitosis_operator.reconcile.health import Decision, decide
from mitosis_operator.reconcile.seen import (
    InstanceSeen,
    PodSeen,
    Seen,
    Stage,
    Trouble,
    Unreachable,
    VolumeSeen,
)
from mitosis_routing.table import InstanceRoute, ShardRoute, ShardState
from mitosis_routing.table import Role as RouteRole

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "shop-0-4096"
NODES = tuple(Node(f"node-{n}", idc=f"idc-{1 + (n - 1) // 3}", rack=f"r{n}") for n in range(1, 7))
HOMES = {1: "node-1", 2: "node-4", 3: "node-2"}
ACCOUNTS = Accounts("shop", (), (1, 2, 3), "h1")

Change = Callable[[Seen], Seen]


def a_status(serial: int, **changes: Any) -> InstanceStatus:
    """An agent beside an empty volume."""
    default: dict[str, Any] = {
        "instance": f"{NAME}-{serial}",
        "shard": NAME,
        "keyspace": "shop",
        "agent_version": "1",
        "data_state": DataState.EMPTY,
        "epoch": 0,
        "role": Role.NONE,
        "writable": False,
        "mysqld": MysqldStatus(MysqldState.STOPPED),
        "disk": DiskStatus(64 << 30, 60 << 30, 6.25),
    }
    return InstanceStatus(**(default | changes))


def good(serial: int, **changes: Any) -> InstanceStatus:
    """Data is there, mysqld runs read-only, no role."""
    default: dict[str, Any] = {
        "data_state": DataState.GOOD,
        "mysqld": MysqldStatus(MysqldState.RUNNING, server_uuid=f"uuid-{serial}"),
        "gtid": GtidStatus(executed="u:1-9"),
        "semi_sync": SemiSyncStatus(),
    }
    return a_status(serial, **(default | changes))


def a_primary(serial: int = 1, clients: int = 2, **changes: Any) -> InstanceStatus:
    default: dict[str, Any] = {
        "epoch": 1,
        "role": Role.PRIMARY,
        "writable": True,
        "accounts_hash": "h1",
        "semi_sync": SemiSyncStatus(source_enabled=clients > 0, clients=clients),
    }
    return good(serial, **(default | changes))


def a_replica(serial: int, source: str = "10.0.0.1", **changes: Any) -> InstanceStatus:
    replication = ReplicationStatus(source, 3306, "r", ThreadState.YES, ThreadState.YES)
    default: dict[str, Any] = {
        "epoch": 1,
        "role": Role.REPLICA,
        "replication": replication,
        "semi_sync": SemiSyncStatus(replica_enabled=True),
    }
    return good(serial, **(default | changes))


def an_instance(serial: int, agent: InstanceStatus | Unreachable | None = None) -> InstanceSeen:
    name, node = f"{NAME}-{serial}", next(n for n in NODES if n.name == HOMES[serial])
    return InstanceSeen(
        name,
        serial,
        volume=VolumeSeen(name, serial, node=node.name, bound=True, size_bytes=64 << 30),
        pod=PodSeen(name, "uid", "Running", node.name, f"10.0.0.{serial}", ready=True, role="none"),
        agent=agent or a_status(serial),
        node=node,
    )


def a_shard(stage: Stage = Stage.NEW, epoch: int = 1, **spec: Any) -> Shard:
    body = builders.a_shard("shop", 0, 4096, **({"primaryIDC": "idc-1"} | spec))
    body["metadata"] |= {"uid": "uid", "generation": 1, "finalizers": [names.FINALIZER]}
    condition = {"type": "Bootstrapped", "status": "False", "reason": stage.value}
    primary = f"{NAME}-1" if epoch else ""
    body["status"] = {"primary": primary, "epoch": epoch, "conditions": [condition]}
    return Shard.from_body(body)


def a_route(state: ShardState = ShardState.NO_PRIMARY, epoch: int = 1) -> ShardRoute:
    roles = {1: RouteRole.PRIMARY, 2: RouteRole.REPLICA, 3: RouteRole.REPLICA}
    serves = state is ShardState.SERVING
    instances = tuple(
        InstanceRoute(
            f"{NAME}-{serial}",
            roles[serial] if serves else RouteRole.NONE,
            f"10.0.0.{serial}",
            server_uuid=f"uuid-{serial}",
            idc=next(n.idc for n in NODES if n.name == HOMES[serial]),
        )
        for serial in roles
    )
    return ShardRoute(NAME, a_shard().slots, state, epoch, instances)


def a_seen(
    *agents: InstanceStatus | Unreachable | None,
    stage: Stage = Stage.NEW,
    epoch: int = 1,
    published: ShardRoute | None = None,
    **spec: Any,
) -> Seen:
    """A shard with an instance for each agent."""
    instances = tuple(an_instance(n, agent) for n, agent in enumerate(agents, start=1))
    return Seen(
        shard=a_shard(stage, epoch, **spec),
        instances=instances,
        used_serials=frozenset(i.serial for i in instances),
        nodes=NODES,
        published=published or a_route(),
        has_table=True,
        accounts=ACCOUNTS,
    )


def serving(*agents: InstanceStatus | Unreachable | None, **more: Any) -> Seen:
    """A shard that has served clients, as long as all was well."""
    agents = agents or (a_primary(), a_replica(2), a_replica(3))
    route = a_route(ShardState.SERVING)
    return a_seen(*agents, stage=Stage.COMPLETE, published=route, **more)


def labelled(seen: Seen) -> Seen:
    roles = ("primary", "replica", "replica")
    return replace(
        seen,
        instances=tuple(
            replace(i, pod=replace(i.pod, role=role)) if i.pod else i
            for i, role in zip(seen.instances, roles, strict=True)
        ),
    )


def steps(decision: Decision) -> list[str]:
    """The actions in words, without those of every pass, labels, and publications."""
    told = []
    for action in decision.actions:
        if isinstance(action, (ApplyShared, Publish)) or action.step == "label-pod":
            continue
        instance = getattr(action, "instance", "")
        told.append(f"{action.step} {instance.removeprefix(NAME + '-')}".strip())
    return told


def without_table(seen: Seen) -> Seen:
    return replace(seen, published=None)


def with_instance(seen: Seen, serial: int, **changes: Any) -> Seen:
    name = f"{NAME}-{serial}"
    return replace(
        seen,
        instances=tuple(replace(i, **changes) if i.name == name else i for i in seen.instances),
    )


def with_pod(seen: Seen, serial: int, **changes: Any) -> Seen:
    instance = seen.instance(f"{NAME}-{serial}")
    assert instance is not None and instance.pod is not None
    return with_instance(seen, serial, pod=replace(instance.pod, **changes))


def stopped(replica: InstanceStatus) -> InstanceStatus:
    assert replica.replication is not None
    broken = replace(replica.replication, io_state=ThreadState.NO, last_io_error="1236")
    return replace(replica, replication=broken)


def running(status: InstanceStatus, verb: Verb) -> InstanceStatus:
    return replace(status, operation=OperationState("x", verb, Progress.RUNNING))


RELAXED = Promote(min_acks=0, semi_sync=False)
STRICT = Promote(min_acks=1, semi_sync=True)

BOOTSTRAP: Sequence[tuple[str, Seen, list[str]]] = [
    (
        "nothing is there: certificate, volume and pod for each",
        a_seen(epoch=0),
        [
            f"{s} {n}"
            for n in (1, 2, 3)
            for s in ("make-certificate", "create-volume", "create-pod")
        ],
    ),
    (
        "one pod is missing: it is made again",
        with_instance(a_seen(a_status(1), a_status(2), None), 3, pod=None, agent=None),
        ["create-pod 3", "initialise 1"],
    ),
    (
        "a certificate is old",
        with_instance(serving(), 2, has_certificate=False),
        ["make-certificate 2"],
    ),
    (
        "the epoch is not published yet",
        without_table(a_seen(a_status(1), a_status(2), a_status(3))),
        [],
    ),
    (
        "an earlier epoch is published",
        a_seen(a_status(1), a_status(2), a_status(3), epoch=2, published=a_route(epoch=1)),
        [],
    ),
    (
        "only the first is initialised",
        a_seen(a_status(1), a_status(2), a_status(3)),
        ["initialise 1"],
    ),
    (
        "it is being initialised",
        a_seen(running(a_status(1), Verb.INITIALISE), a_status(2), a_status(3)),
        [],
    ),
    (
        "the first cannot be reached: nobody else takes its place",
        a_seen(Unreachable("no"), a_status(2), a_status(3)),
        [],
    ),
    (
        "another has data already: no empty server beside it",
        a_seen(a_status(1), good(2), a_status(3)),
        [],
    ),
    (
        "initialised: writable for its accounts",
        a_seen(good(1), a_status(2), a_status(3)),
        ["promote 1"],
    ),
    (
        "writable: accounts",
        a_seen(a_primary(clients=0, accounts_hash=""), a_status(2), a_status(3)),
        ["accounts 1"],
    ),
    (
        "accounts made: one clone at a time",
        a_seen(a_primary(clients=0), a_status(2), a_status(3), stage=Stage.INITIALISED),
        ["clone 2"],
    ),
    (
        "one clones: the other waits",
        a_seen(
            a_primary(clients=0),
            running(a_status(2), Verb.CLONE),
            a_status(3),
            stage=Stage.INITIALISED,
        ),
        [],
    ),
    (
        "a clone was cut short: again",
        a_seen(
            a_primary(clients=0),
            a_status(2, data_state=DataState.CLONING),
            a_replica(3),
            stage=Stage.INITIALISED,
        ),
        ["promote 1", "clone 2"],
    ),
    (
        "cloned: follow",
        a_seen(a_primary(clients=0), good(2), a_status(3), stage=Stage.INITIALISED),
        ["follow 2", "clone 3"],
    ),
    (
        "one follows: that is enough to promote for good",
        a_seen(a_primary(clients=0), a_replica(2), a_status(3), stage=Stage.INITIALISED),
        ["promote 1", "clone 3"],
    ),
]

RUNNING: Sequence[tuple[str, Seen, list[str]]] = [
    ("all is well", serving(), []),
    (
        "mysqld of the primary was restarted",
        serving(good(1, epoch=1, role=Role.PRIMARY), a_replica(2), a_replica(3)),
        ["promote 1"],
    ),
    (
        "mysqld of the primary is starting",
        serving(
            a_status(
                1,
                data_state=DataState.GOOD,
                epoch=1,
                role=Role.PRIMARY,
                mysqld=MysqldStatus(MysqldState.STARTING),
            ),
            a_replica(2),
            a_replica(3),
        ),
        [],
    ),
    (
        "the primary has another address",
        serving(
            good(1, epoch=1, role=Role.PRIMARY), a_replica(2, "10.0.9.9"), a_replica(3, "10.0.9.9")
        ),
        ["promote 1", "follow 2", "follow 3"],
    ),
    ("a replica stopped", serving(a_primary(), stopped(a_replica(2)), a_replica(3)), ["follow 2"]),
    (
        "a replica of an earlier epoch",
        serving(a_primary(), a_replica(2, epoch=0), a_replica(3)),
        ["follow 2"],
    ),
    (
        "a replica does not acknowledge",
        serving(a_primary(), a_replica(2, semi_sync=SemiSyncStatus()), a_replica(3)),
        ["follow 2"],
    ),
    (
        "a replica is empty: cloned from the other replica",
        serving(a_primary(), a_status(2), a_replica(3)),
        ["clone 2"],
    ),
    (
        "foreign data is never touched",
        serving(a_primary(), a_status(2, data_state=DataState.UNKNOWN), a_replica(3)),
        [],
    ),
    (
        "the primary's volume is empty: no second beginning",
        serving(a_status(1), a_replica(2), a_replica(3)),
        [],
    ),
    ("the primary does not answer", serving(Unreachable("no"), a_replica(2), a_replica(3)), []),
    (
        "a password changed",
        serving(a_primary(accounts_hash="h0"), a_replica(2), a_replica(3)),
        ["accounts 1"],
    ),
    (
        "semi-sync is off on the primary",
        serving(a_primary(clients=0), a_replica(2), a_replica(3)),
        ["promote 1"],
    ),
    (
        "a pod is leaving",
        with_pod(serving(), 2, terminating=True),
        [],
    ),
    (
        "a pod has ended for good",
        with_pod(serving(), 2, phase="Failed"),
        ["delete-pod 2"],
    ),
]


@pytest.mark.parametrize(
    ("seen", "wanted"), [row[1:] for row in BOOTSTRAP], ids=[r[0] for r in BOOTSTRAP]
)
def test_while_a_shard_is_made(seen: Seen, wanted: list[str]) -> None:
    assert steps(decide(seen, NOW)) == wanted


@pytest.mark.parametrize(
    ("seen", "wanted"), [row[1:] for row in RUNNING], ids=[r[0] for r in RUNNING]
)
def test_while_a_shard_runs(seen: Seen, wanted: list[str]) -> None:
    assert steps(decide(seen, NOW)) == wanted


def promotions(seen: Seen) -> list[Promote]:
    return [
        a.args
        for a in decide(seen, NOW).actions
        if isinstance(a, Call) and isinstance(a.args, Promote)
    ]


def donors(seen: Seen) -> list[str]:
    calls = [a for a in decide(seen, NOW).actions if isinstance(a, Call)]
    return [c.args.donor_name for c in calls if isinstance(c.args, Clone)]


def test_a_replica_gives_its_data_before_the_primary_does() -> None:
    waits = SemiSyncStatus(source_enabled=True, clients=1, wait_sessions=1)
    assert donors(serving(a_primary(), a_status(2), a_replica(3))) == [f"{NAME}-3"]
    assert donors(serving(a_primary(), a_status(2), Unreachable("no"))) == [f"{NAME}-1"]
    assert donors(serving(a_primary(semi_sync=waits), a_status(2), Unreachable("no"))) == []


def test_only_before_the_first_client_is_a_promotion_relaxed() -> None:
    restarted = good(1, epoch=1, role=Role.PRIMARY)
    before = a_seen(restarted, a_status(2), a_status(3), stage=Stage.INITIALISED)
    after = serving(restarted, a_replica(2), a_replica(3))
    assert promotions(before) == [RELAXED]
    assert promotions(after) == [STRICT]


@pytest.mark.parametrize(("instances", "acks"), [(1, 0), (3, 1), (5, 2), (7, 3)])
def test_half_of_the_replicas_must_hold_each_commit(instances: int, acks: int) -> None:
    seen = serving(good(1, epoch=1, role=Role.PRIMARY), instances=instances)
    assert promotions(seen) == [Promote(acks, acks > 0)]


def test_with_durability_idc_a_shard_without_another_idc_stays_read_only() -> None:
    alone = serving(a_primary(clients=0), durability="idc")
    assert promotions(alone) == []
    assert published(alone).primary is None


def published(seen: Seen) -> ShardRoute:
    """What the table says after this pass."""
    routes = [a.route for a in decide(seen, NOW).actions if isinstance(a, Publish)]
    if routes:
        return routes[0]
    assert seen.published is not None
    return seen.published


def test_a_primary_is_published_only_when_its_agent_says_so() -> None:
    for agent in (
        good(1, epoch=1, role=Role.PRIMARY),
        a_primary(epoch=0),
        a_primary(clients=0),
        a_primary(data_state=DataState.CLONING),
        None,
    ):
        seen = with_instance(serving(), 1, agent=agent)
        assert published(seen).state is ShardState.NO_PRIMARY, agent
    assert published(serving()).state is ShardState.SERVING


def test_a_shard_is_not_published_as_serving_before_it_is_known_as_complete() -> None:
    ready = (a_primary(), a_replica(2), a_replica(3))
    seen = a_seen(*ready, stage=Stage.INITIALISED)
    decision = decide(seen, NOW)
    reasons = {c.type: c.reason for c in decision.status.conditions}
    assert reasons["Bootstrapped"] == "Complete", "written first, with the published state after it"


def test_a_silent_agent_keeps_what_was_published_while_its_pod_is_ready() -> None:
    silent = with_instance(serving(), 1, agent=Unreachable("timeout"))
    assert published(silent) == a_route(ShardState.SERVING)
    for worse in (
        with_pod(silent, 1, ready=False),
        with_pod(silent, 1, terminating=True),
        with_instance(silent, 1, node=replace(NODES[0], ready=False)),
        with_pod(silent, 1, ip="10.9.9.9"),
    ):
        assert published(worse).state is ShardState.NO_PRIMARY


def test_the_first_primary_lies_in_the_primary_idc() -> None:
    seen = a_seen(a_status(1), a_status(2), a_status(3), epoch=0, primaryIDC="idc-2")
    status = decide(without_table(seen), NOW).status
    assert (status.primary, status.epoch) == (f"{NAME}-2", 1)


def test_no_primary_is_chosen_before_its_agent_answers() -> None:
    seen = a_seen(Unreachable("starts"), a_status(2), Unreachable("starts"), epoch=0)
    assert decide(seen, NOW).status.primary == ""


def test_epochs_of_an_earlier_shard_of_this_name_are_over() -> None:
    seen = a_seen(a_status(1, fenced_epoch=9), a_status(2), a_status(3), epoch=0)
    assert decide(replace(seen, published=a_route(epoch=4)), NOW).status.epoch == 10


def test_volumes_with_data_are_taken_up_again_with_their_last_primary() -> None:
    last = a_primary(2, epoch=3)
    seen = a_seen(good(1), last, good(3), epoch=0, primaryIDC="idc-1")
    status = decide(seen, NOW).status
    assert (status.primary, status.epoch) == (f"{NAME}-2", 4)
    unknown = a_seen(good(1), Unreachable("no"), good(3), epoch=0)
    assert decide(unknown, NOW).status.primary == ""


def test_a_refused_shard_is_not_touched() -> None:
    problem = Problem("BadName", "name it otherwise", Severity.REFUSED)
    decision = decide(replace(serving(), problems=(problem,)), NOW)
    assert decision.actions == ()
    assert decision.status.phase.value == "Refused"
    assert decision.status.primary == f"{NAME}-1"


def test_a_paused_shard_is_not_touched() -> None:
    seen = serving(good(1), a_replica(2), a_replica(3), paused=True)
    assert decide(seen, NOW).actions == ()


def test_calm_shards_are_looked_at_at_the_usual_pace() -> None:
    assert decide(labelled(serving()), NOW).requeue_seconds is None
    busy = serving(a_primary(), stopped(a_replica(2)), a_replica(3))
    assert decide(busy, NOW).requeue_seconds is not None


SENTENCES: Sequence[tuple[str, Seen, str, str]] = [
    (
        "unschedulable",
        with_pod(
            serving(Unreachable("no"), a_replica(2), a_replica(3)),
            1,
            ready=False,
            trouble=Trouble("Unschedulable", "0/5 nodes are available"),
        ),
        "PrimaryDown",
        "0/5 nodes are available",
    ),
    (
        "node down",
        with_instance(serving(None), 1, node=replace(NODES[0], ready=False), agent=None),
        "PrimaryNodeDown",
        "node-1",
    ),
    (
        "volume lost",
        with_instance(serving(), 1, volume=None, pod=None, agent=None),
        "PrimaryVolumeLost",
        "restore",
    ),
    ("data lost", serving(a_status(1), a_replica(2), a_replica(3)), "PrimaryDataLost", NAME),
    (
        "promotion failed",
        serving(
            good(
                1,
                epoch=1,
                role=Role.PRIMARY,
                operation=OperationState("p", Verb.PROMOTE, Progress.FAILED, "0 of 1 connected"),
            ),
            a_replica(2),
            a_replica(3),
        ),
        "PrimaryStarting",
        "0 of 1 connected",
    ),
]


@pytest.mark.parametrize(
    ("seen", "reason", "words"), [row[1:] for row in SENTENCES], ids=[r[0] for r in SENTENCES]
)
def test_a_shard_says_why_it_takes_no_writes(seen: Seen, reason: str, words: str) -> None:
    status = decide(seen, NOW).status
    writable = next(c for c in status.conditions if c.type == "Writable")
    assert (writable.status.value, writable.reason) == ("False", reason)
    assert words in writable.message and words in status.phase_reason


def test_a_shard_that_is_full_says_so() -> None:
    full = a_primary(disk=DiskStatus(64 << 30, 6 << 30, 90.6))
    status = decide(serving(full, a_replica(2), a_replica(3)), NOW).status
    disk = next(c for c in status.conditions if c.type == "DiskHealthy")
    assert disk.status.value == "False" and "91 %" in disk.message
    assert status.storage.used_percent == 90.6
