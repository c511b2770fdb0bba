from dataclasses import replace

import pytest

from manifests import good
from mitosis_operator.models.cluster import Node, StorageClass, read_nodes, storage_class
from mitosis_operator.models.keyspace import Keyspace
from mitosis_operator.models.problems import Problem, Severity, worst
from mitosis_operator.models.shard import Shard
from mitosis_operator.models.status import KeyspaceStatus
from mitosis_operator.models.template import GI
from mitosis_routing.keyspace import SlotRange

NODES = [Node(f"node-{i}", idc=f"idc-{1 + (i > 3)}", rack=f"r{i}") for i in range(1, 6)]
CLASSES = [StorageClass("fast", True), StorageClass("fixed", False, is_default=True)]


def a_node(name="node-1", **changes):
    body = {
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "topology.kubernetes.io/zone": "idc-1",
                "topology.mitosis.dev/rack": "r1",
            },
        },
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": "2", "memory": "4Gi"},
        },
    }
    return body | changes


def a_pod(node, phase="Running", cpu="500m", memory="1Gi"):
    requests = {"cpu": cpu, "memory": memory}
    return {
        "metadata": {"name": "p"},
        "spec": {"nodeName": node, "containers": [{"resources": {"requests": requests}}]},
        "status": {"phase": phase},
    }


def a_room(name="node-1", size=str(600 * GI), kind="fast"):
    return {
        "storageClassName": kind,
        "capacity": size,
        "maximumVolumeSize": size,
        "nodeTopology": {"matchLabels": {"kubernetes.io/hostname": name}},
    }


def a_claim(node="node-1", phase="Pending", kind="fast"):
    return {
        "metadata": {"name": "c", "annotations": {"mitosis.dev/node": node}},
        "spec": {"storageClassName": kind, "resources": {"requests": {"storage": "64Gi"}}},
        "status": {"phase": phase},
    }


def test_a_node_is_read_with_its_place_and_its_room():
    (node,) = read_nodes(
        [a_node()],
        pods=[a_pod("node-1"), a_pod("node-1", "Succeeded"), a_pod("node-2"), a_pod("")],
        capacities=[a_room(), a_room("node-2", "1"), a_room(kind="slow", size="1")],
        claims=[a_claim(), a_claim(phase="Bound"), a_claim("node-2"), a_claim(kind="slow")],
        storage_class="fast",
    )
    assert node == Node(
        name="node-1",
        idc="idc-1",
        rack="r1",
        free_cpu_millis=1500,
        free_memory_bytes=3 * GI,
        free_volume_bytes=536 * GI,
        largest_volume_bytes=600 * GI,
    )


def test_room_that_no_driver_tells_is_unknown_not_none():
    (node,) = read_nodes([a_node()], storage_class="fast")
    assert node.free_volume_bytes is None


def test_other_labels_can_say_where_a_node_is():
    (node,) = read_nodes(
        [a_node()], idc_label="topology.mitosis.dev/rack", rack_label="kubernetes.io/hostname"
    )
    assert (node.idc, node.rack) == ("r1", "node-1")


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_node_is_ready_only_when_it_says_so(status):
    body = a_node(status={"conditions": [{"type": "Ready", "status": status}]})
    (node,) = read_nodes([body])
    assert not node.ready
    assert node.free_cpu_millis is None


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({}, ""),
        ({"unschedulable": True}, "it is cordoned"),
        ({"taints": [{"key": "gpu", "effect": "NoSchedule"}]}, "it has the taint gpu:NoSchedule"),
        ({"taints": [{"key": "gpu", "effect": "PreferNoSchedule"}]}, ""),
        ({"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]}, ""),
    ],
)
def test_a_node_tells_why_it_takes_no_pods(spec, why):
    (node,) = read_nodes([a_node(spec=spec)])
    assert node.refuses_pods == why


@pytest.mark.parametrize(
    ("operator", "values", "fits"),
    [
        ("In", ["node-1"], True),
        ("In", ["node-2"], False),
        ("NotIn", ["node-2"], True),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
    ],
)
def test_rooms_are_matched_by_expressions_too(operator, values, fits):
    rule = {"key": "kubernetes.io/hostname", "operator": operator, "values": values}
    room = a_room() | {"nodeTopology": {"matchExpressions": [rule]}}
    (node,) = read_nodes([a_node()], capacities=[room], storage_class="fast")
    assert (node.free_volume_bytes is not None) is fits


def test_a_storage_class_is_read_with_what_it_can():
    body = {
        "metadata": {
            "name": "fast",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "allowVolumeExpansion": True,
    }
    assert StorageClass.from_body(body) == StorageClass("fast", True, True)
    assert StorageClass.from_body({"metadata": {"name": "x"}}) == StorageClass("x", False, False)


def test_an_empty_name_means_the_default_class():
    assert storage_class(CLASSES, "").name == "fixed"
    assert storage_class(CLASSES, "fast").name == "fast"
    assert storage_class(CLASSES, "none") is None


def a_keyspace(**template):
    keyspace = Keyspace.from_body(good("Keyspace"))
    return replace(keyspace, template=replace(keyspace.template, **template))


def judged(keyspace, **facts):
    known = {"storage_classes": CLASSES, "nodes": NODES} | facts
    return [(p.reason, p.severity, p.message) for p in keyspace.problems(**known)]


def test_a_keyspace_that_finds_everything_it_needs_has_no_problem():
    assert judged(a_keyspace()) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "gone",
            (
                "UnknownStorageClass",
                Severity.REFUSED,
                "storage class gone does not exist: write one of these in "
                "storage.storageClassName: fast, fixed",
            ),
        ),
        (
            "fixed",
            (
                "StorageCannotGrow",
                Severity.WARNING,
                "storage class fixed cannot expand volumes: full disks will need moves; "
                "set allowVolumeExpansion: true on it, or name another class",
            ),
        ),
    ],
)
def test_a_storage_class_must_exist_and_should_grow(name, expected):
    storage = replace(a_keyspace().template.storage, class_name=name)
    assert judged(a_keyspace(storage=storage)) == [expected]


def test_a_cluster_without_a_default_class_says_so():
    storage = replace(a_keyspace().template.storage, class_name="")
    ((reason, _, message),) = judged(a_keyspace(storage=storage), storage_classes=[])
    assert (reason, message.split(":")[0]) == (
        "UnknownStorageClass",
        "the cluster has no default storage class",
    )


def test_a_class_that_cannot_grow_is_enough_when_nothing_is_to_grow():
    storage = replace(a_keyspace().template.storage, class_name="fixed", step_bytes=128 * GI)
    assert judged(a_keyspace(storage=storage)) == []


def test_a_primary_idc_without_nodes_is_waited_for():
    assert judged(a_keyspace(primary_idc="idc-9")) == [
        (
            "NoNodeInPrimaryIDC",
            Severity.WAITING,
            "no node lies in primaryIDC idc-9: label nodes with it, or write one of: idc-1, idc-2",
        )
    ]


def test_more_instances_than_nodes_is_no_room_with_each_node_and_why_not():
    nodes = [NODES[0], replace(NODES[1], ready=False), replace(NODES[3], refuses_pods="cordoned")]
    ((reason, severity, message),) = judged(a_keyspace(), nodes=nodes)
    assert (reason, severity) == ("NoRoom", Severity.WAITING)
    assert message == (
        "3 instances need as many nodes, and 1 of 3 can be used "
        "(node-2: it is not ready; node-4: cordoned): add nodes or write fewer instances"
    )


def test_acknowledgement_from_another_idc_needs_another_idc():
    nodes = [replace(n, idc="idc-1") for n in NODES]
    ((reason, severity, _),) = judged(a_keyspace(), nodes=nodes)
    assert (reason, severity) == ("OneIDC", Severity.WAITING)


def test_refusals_come_before_what_is_waited_for_and_warnings():
    storage = replace(a_keyspace().template.storage, class_name="fixed")
    bad = replace(a_keyspace(storage=storage, primary_idc="idc-9"), slots=5)
    assert [s for _, s, _ in judged(bad)] == [
        Severity.REFUSED,
        Severity.WAITING,
        Severity.WARNING,
    ]


@pytest.mark.parametrize(
    ("shards", "messages"),
    [
        ([], []),
        (["0-2048"], []),
        (["0-2048", "2048-4096"], []),
        (["0-1024", "1024-2048", "2048-4096"], []),
        (["0-1024"], ["slots 1024-2048 belong to no shard"]),
        (["0-2048", "1024-4096"], ["slots 1024-2048 belong to more than one shard"]),
        (["2048-5000"], ["slots 2048-5000 exceed the keyspace"]),
    ],
)
def test_existing_shards_must_fit_together_with_those_to_be_made(shards, messages):
    ranges = [SlotRange(*map(int, s.split("-"))) for s in shards]
    found = [p.message for p in a_keyspace().problems(shards=ranges)]
    assert len(found) == len(messages)
    assert all(said in text for said, text in zip(messages, found, strict=True))


def test_a_deleted_shard_is_not_made_again_in_silence():
    body = good("Keyspace") | {"status": {"shardNames": ["shop-0-2048", "shop-2048-4096"]}}
    keyspace = Keyspace.from_body(body)
    left = [SlotRange(2048, 4096)]
    assert keyspace.missing_ranges(left) == ()
    (problem,) = keyspace.problems(shards=left)
    assert "slots 0-2048 belong to no shard" in problem.message
    assert keyspace.problems(shards=[]) != ()
    assert keyspace.problems() == ()


def a_shard(name, **spec):
    start, end = map(int, name.split("-")[1:])
    body = good("Shard")
    body["metadata"] |= {"name": name, "namespace": "mitosis"}
    body["spec"] |= {"slots": {"start": start, "end": end}}
    return Shard.from_body(body | spec)


def test_a_shard_of_an_unknown_keyspace_is_refused():
    ((problem),) = a_shard("shop-0-2048").problems(None)
    assert problem == Problem(
        "UnknownKeyspace",
        "Keyspace shop does not exist in namespace mitosis: apply it first, or correct "
        "spec.keyspace",
    )


def test_a_shard_must_lie_within_the_slots():
    (problem,) = a_shard("shop-2048-8192").problems(a_keyspace())
    assert problem.message == (
        "slots 2048-8192 exceed Keyspace shop, which has slots 0 to 4096: end at 4096 or before"
    )


def test_of_two_overlapping_shards_the_newcomer_is_refused():
    serving = a_shard("shop-0-2048", status={"epoch": 3})
    newcomer = a_shard("shop-1024-3072")
    (problem,) = newcomer.problems(a_keyspace(), siblings=[serving, newcomer])
    assert problem.reason == "OverlappingRange"
    assert "shop-0-2048" in problem.message
    assert serving.problems(a_keyspace(), siblings=[serving, newcomer]) == ()


def test_two_overlapping_newcomers_are_both_refused():
    one, other = a_shard("shop-0-2048"), a_shard("shop-1024-3072")
    assert one.problems(a_keyspace(), siblings=[one, other])
    assert other.problems(a_keyspace(), siblings=[one, other])


def test_a_shard_is_not_begun_while_the_shards_of_its_keyspace_leave_a_gap():
    (problem,) = a_shard("shop-0-1024").problems(a_keyspace())
    assert problem == Problem(
        "KeyspaceRefused",
        "Keyspace shop is refused, so its Shards wait: slots 1024-2048 belong to no shard: "
        "the Shards of shop must cover each slot once",
    )
    filling = [a_shard("shop-1024-2048")]
    assert a_shard("shop-0-1024").problems(a_keyspace(), siblings=filling) == ()


def test_a_shard_that_serves_is_not_stopped_by_a_gap_beside_it():
    assert a_shard("shop-0-1024", status={"epoch": 1}).problems(a_keyspace()) == ()


def test_a_shard_that_was_deleted_can_be_applied_again_beside_a_gap():
    names = ["shop-0-1024", "shop-1024-2048", "shop-2048-4096"]
    keyspace = replace(a_keyspace(), status=KeyspaceStatus(shard_names=tuple(names)))
    assert a_shard("shop-0-1024").problems(keyspace) == ()


def test_a_shard_is_judged_by_its_storage_class_and_nodes_too():
    found = a_shard("shop-0-2048").problems(a_keyspace(), storage_classes=[], nodes=NODES[:1])
    assert [p.reason for p in found] == ["UnknownStorageClass", "OneIDC", "NoRoom"]


def test_the_worst_problem_speaks_for_all_of_its_severity():
    problems = [
        Problem("A", "first"),
        Problem("B", "waiting", Severity.WAITING),
        Problem("C", "second"),
    ]
    assert worst(problems, Severity.REFUSED) == Problem("A", "first; second")
    assert worst(problems, Severity.WARNING) is None
