"""Writes the heartbeat row each second while this instance is the primary.

It also frees commits whose acknowledgement was lost: a replica that has a transaction and lost its
connection before it said so never says it again, but its acknowledgement of a later transaction
counts for all before. So when a heartbeat hangs and replicas are connected, another is written, in
another row, for the first still holds its own; up to a limit, because each of them may hang too.
"""

import threading

from mitosis_operator.agent.lifecycle import log
from mitosis_operator.agent.tools import Tools
from mitosis_operator.errors import MysqlError
from mitosis_operator.mysql import heartbeat, replication
from mitosis_operator.mysql.connection import Connection
from mitosis_operator.mysql.instance import MysqldState, Role

BEAT_SECONDS = 1.0
HANGS_SECONDS = 3.0
MOST_HANGING = 8
READ_ONLY = 1290


class Heartbeat:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._connection: Connection | None = None
        self._hanging = 0

    def beat_for_ever(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT_SECONDS):
            try:
                if self._is_due():
                    self._beat()
            except MysqlError as exc:
                log(f"no heartbeat: {exc}")
                self._disconnect()

    def _is_due(self) -> bool:
        tools = self._tools
        if tools.mysqld.child().state is not MysqldState.RUNNING:
            return False
        if tools.store.memory.role is not Role.PRIMARY:
            return False
        return not self._hanging or self._may_help()

    def _may_help(self) -> bool:
        """Whether one more commit could free those that hang."""
        with self._tools.connect(HANGS_SECONDS) as connection:
            semi_sync = replication.semi_sync(connection)
        if not semi_sync.wait_sessions:
            self._hanging = 0
        return semi_sync.clients > 0 and self._hanging < MOST_HANGING

    def _beat(self) -> None:
        if self._connection is None:
            self._connection = self._tools.connect(HANGS_SECONDS)
        row, epoch = 1 + self._hanging, self._tools.store.memory.epoch
        self._hanging += 1  # until it has returned
        try:
            heartbeat.beat(self._connection, row, epoch)
        except MysqlError as exc:
            if exc.number != READ_ONLY:
                raise
        self._hanging = 0

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None
