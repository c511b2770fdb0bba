"""The operator's process: settings, doors, leadership, workers, and kopf's loop around them.

A standby answers probes and waits for the Lease: it watches nothing and does nothing. The leader
lists everything, then starts its workers and kopf's watches. On SIGTERM the workers are stopped and
the Lease is given back, so that the other takes over at once.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import kopf

from mitosis_operator import metrics, probes, workqueue
from mitosis_operator.errors import KubeError, MitosisError
from mitosis_operator.faults import Faults
from mitosis_operator.handlers import watch
from mitosis_operator.handlers.intake import Intake
from mitosis_operator.handlers.resync import Resync
from mitosis_operator.kube import access
from mitosis_operator.kube.cache import Cache
from mitosis_operator.kube.client import Client, Kube
from mitosis_operator.kube.secret_store import Secrets
from mitosis_operator.leadership import Leadership, LeaseRules, exit_at_once
from mitosis_operator.mysql.instance import Instances
from mitosis_operator.mysql.remote import AgentClient
from mitosis_operator.publisher import Publisher
from mitosis_operator.reconcile.acts import Acts, Doors, Leader
from mitosis_operator.reconcile.apply import ShardApplier
from mitosis_operator.reconcile.apply_keyspace import KeyspaceApplier
from mitosis_operator.reconcile.identity import Identity
from mitosis_operator.reconcile.observe import Observer
from mitosis_operator.reconcile.passes import Key, Passes
from mitosis_operator.settings import Settings
from mitosis_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)

AGAIN_SECONDS = 2.0


@dataclass(frozen=True)
class Operator:
    """The parts that work together while this process leads."""

    queue: WorkQueue[Key]
    intake: Intake
    passes: Passes
    resync: Resync


def build(
    settings: Settings,
    kube: Kube,
    leader: Leader,
    instances: Instances | None = None,
    faults: Faults | None = None,
) -> Operator:
    """Put the parts together around the given doors."""
    cache, clock = Cache(), time.monotonic
    secrets = Secrets(kube, clock)
    identity = Identity(kube, secrets, settings, _now)
    agents = instances or AgentClient(
        identity.context, timeout_seconds=settings.agent_timeout_seconds
    )
    doors = Doors(
        kube, cache, leader, faults or Faults(kube, settings.fault_after_step), clock, _now
    )
    acts, publisher = Acts(doors), Publisher(kube, lambda: leader.term)
    observer = Observer(cache, secrets, agents, identity, settings)
    passes = Passes(
        doors,
        acts,
        observer,
        identity,
        ShardApplier(doors, acts, agents, identity, publisher, settings),
        KeyspaceApplier(doors, acts, secrets, publisher),
        settings,
    )
    queue: WorkQueue[Key] = WorkQueue(clock)
    metrics.QUEUE_LENGTH.set_function(lambda: len(queue))
    intake = Intake(cache, secrets, queue)
    resync = Resync(kube, intake, identity, queue, settings.namespaces, settings.resync_seconds)
    return Operator(queue, intake, passes, resync)


async def run(settings: Settings) -> None:
    health = probes.Health()
    server = probes.serve(health, settings.probe_port)
    try:
        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(health.tick())
            await _run(settings, health)
            ticking.cancel()
    finally:
        server.shutdown()
        server.server_close()


async def _run(settings: Settings, health: probes.Health) -> None:
    found = access.find(settings.kubeconfig, os.environ)
    async with Client(found) as kube:
        leadership = Leadership(kube, _rules(settings), clock=time.monotonic)
        health.is_ready = True
        if not await _until_signal(leadership.acquire()):
            return
        try:
            await _lead(settings, kube, leadership, found)
        finally:
            with contextlib.suppress(KubeError):
                await leadership.release()


async def _lead(
    settings: Settings, kube: Kube, leadership: Leadership, found: access.Access
) -> None:
    operator = build(settings, kube, leadership)
    keeping = _owned(leadership.keep(), "lease")
    tasks = [keeping]
    try:
        if not await _until_signal(_first_look(operator.resync)):
            return
        tasks.append(_owned(operator.resync.for_ever(), "resync"))
        tasks += [
            _owned(workqueue.work(operator.queue, operator.passes.run), f"worker-{number}")
            for number in range(settings.workers)
        ]
        await kopf.operator(
            registry=watch.registry(operator.intake, found),
            settings=watch.settings(),
            namespaces=settings.namespaces,
            standalone=True,
        )
    finally:
        for task in reversed(tasks):  # the Lease is kept until nothing acts any more
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _first_look(resync: Resync) -> None:
    """The API server, or the rights in it, may come later than the operator."""
    while True:
        try:
            await resync.once()
        except MitosisError as exc:
            log.warning("cannot begin: %s", exc)
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return


def _owned(work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
    """A part without which the process is of no use: when it fails, everything ends at once."""
    task = asyncio.create_task(work, name=name)

    def ended(done: "asyncio.Task[Any]") -> None:
        if not done.cancelled() and done.exception() is not None:
            log.critical("%s failed", name, exc_info=done.exception())
            exit_at_once(f"{name} failed")

    task.add_done_callback(ended)
    return task


async def _until_signal(work: Coroutine[Any, Any, None]) -> bool:
    """Wait for `work`; False when SIGTERM or SIGINT came first. kopf has its own way later."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(asked.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        for task in (working, waiting):
            task.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)


def _rules(settings: Settings) -> LeaseRules:
    return LeaseRules(
        settings.namespace,
        settings.lease_name,
        settings.identity,
        settings.lease_duration_seconds,
        settings.lease_renew_seconds,
        settings.lease_retry_seconds,
    )


def _now() -> datetime:
    return datetime.now(UTC)


def main() -> None:
    try:
        settings = Settings.from_environment()
        logging.basicConfig(
            level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        logging.getLogger("kopf").setLevel(logging.WARNING)
        asyncio.run(run(settings))
    except MitosisError as exc:
        sys.exit(f"mitosis-operator: {exc}")
