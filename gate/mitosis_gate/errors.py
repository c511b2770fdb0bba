"""Every error of the gate, and the only place where numbers of MySQL errors stand.

GateError                       what a client may see: code, SQLSTATE, `[gate] text`
|- Refused                      understood well enough to say no; nothing was sent to a shard
|  |- NotSupported              1235  the gate cannot do this, or not yet
|  |- SeveralShards             1235  needs one shard, or the one of its transaction
|  |- NoDatabase                1046  no database selected
|  |- UnknownDatabase           1049  no such keyspace
|  |- UnknownTable              1146
|  |- InvalidView               1356  a view over a table that is not there
|  |- UnknownStatement          1243  no such prepared statement
|  |- TooManyStatements         1461  prepared statements of one client
|  |- WrongArguments            1210  parameters do not fit the prepared statement
|  |- UnknownCommand            1047  a command of the protocol that the gate does not serve
|  |- NoSuchThread              1094  KILL of an id that is no session of this gate process
|  |- KillDenied                1095  KILL of a session of another user
|  |- LimitReached              1226  statements, rows or bytes of one user
|  |- LocalFilesOff             3948  LOAD DATA LOCAL, which gate or client do not allow
|  |- MergeTooLarge             1104  more rows or bytes than a statement may bring together
|  `- TransactionLost           1213  its transaction is rolled back: ROLLBACK and repeat
|- LoginRefused                 the connection gets this and nothing else
|  |- AccessDenied              1045
|  |- AccessDeniedToDatabase    1044
|  |- TooManyConnections        1040
|  |- TlsRequired               3159
|  |- UserConnections           1226  connections of one user
|  |- UnsupportedLogin          1251  an authentication method the gate does not speak
|  `- BadHandshake              1043
|- ProtocolViolation            the connection is closed after it
|  |- PacketTooLarge            1153
|  |- PacketsOutOfOrder         1156
|  |- MalformedPacket           1835
|  |- ClientTimeout             1159
|  `- TransactionTimeout        4031  a transaction was open, or silent, for too long
|- Unavailable                  the statement may be repeated later
|  |- ShardUnavailable          1205  no primary, or held longer than its limit
|  |  `- PlanAnew               1205  nothing was done; a new plan may take the place of this one
|  |     |- ShardGone           1205  the table has no such shard any more
|  |     |- TakesNoWrites       1205  the primary turned out to be read-only
|  |     `- SchemaChanged       1205  it waited, and the schema changed meanwhile
|  |- TableChanges              1205  a table is being changed for longer than statements wait
|  |- BackendUnreachable        1429
|  |- PoolExhausted             1203
|  |- MergeServerBusy           1203  as many statements use the merge server as may
|  |- MergeServerAway           1429
|  |- ResultTooSlow             1159  the client read its result too slowly
|  |- ResultTooLarge            1038  what the gate must keep of a result is over its limit
|  |- SequenceUnavailable       1467  no AUTO_INCREMENT numbers from the keyspace's sequence
|  `- ShuttingDown              1053
|- Interrupted                  what happened on the shard may be unknown
|  |- QueryKilled               1317  KILL QUERY, or the client is gone
|  |- StatementTimeout          3024  it ran for longer than its limit
|  |- BackendLost               1317  the connection broke while a statement ran
|  |- CommitUnknown             1180  the connection broke while COMMIT ran
|  `- PartlyDone                1430  done on some shards, not on others
|- ShardsDisagree               1430  columns of the same statement differ between shards
|- InternalError                1815  a fault of the gate; the log has the traceback
`- MysqlError                   the answer of a backend, passed on unchanged
NotStarted                      settings that the process cannot start with
KubernetesError                 the API server did not answer as it should
|- KubernetesUnreachable
`- ResourceVersionGone          410: list again
"""

from typing import ClassVar

PREFIX = "[gate] "


class GateError(Exception):
    """Its text names what was tried, why not, and what helps; clients see it after `[gate] `."""

    code: ClassVar[int] = 1815
    sqlstate: ClassVar[str] = "HY000"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def number(self) -> int:
        return self.code

    @property
    def state(self) -> str:
        return self.sqlstate

    @property
    def message(self) -> str:
        """What goes to the client."""
        return PREFIX + self.text


class Refused(GateError):
    code = 1235
    sqlstate = "42000"


class NotSupported(Refused):
    pass


class SeveralShards(Refused):
    pass


class NoDatabase(Refused):
    code = 1046
    sqlstate = "3D000"


class UnknownDatabase(Refused):
    code = 1049


class UnknownTable(Refused):
    code = 1146
    sqlstate = "42S02"


class InvalidView(Refused):
    code = 1356
    sqlstate = "HY000"


class UnknownStatement(Refused):
    code = 1243
    sqlstate = "HY000"


class TooManyStatements(Refused):
    code = 1461
    sqlstate = "42000"


class WrongArguments(Refused):
    code = 1210
    sqlstate = "HY000"


class UnknownCommand(Refused):
    code = 1047
    sqlstate = "08S01"


class NoSuchThread(Refused):
    code = 1094
    sqlstate = "HY000"


class KillDenied(Refused):
    code = 1095
    sqlstate = "HY000"


class LimitReached(Refused):
    code = 1226


class InTransaction(Refused):
    code = 1568
    sqlstate = "25001"


class LocalFilesOff(Refused):
    code = 3948


class MergeTooLarge(Refused):
    code = 1104


class TransactionLost(Refused):
    code = 1213
    sqlstate = "40001"


class LoginRefused(GateError):
    code = 1045
    sqlstate = "28000"


class AccessDenied(LoginRefused):
    pass


class AccessDeniedToDatabase(LoginRefused):
    code = 1044
    sqlstate = "42000"


class TooManyConnections(LoginRefused):
    code = 1040
    sqlstate = "08004"


class UserConnections(LoginRefused):
    code = 1226
    sqlstate = "42000"


class TlsRequired(LoginRefused):
    code = 3159
    sqlstate = "HY000"


class UnsupportedLogin(LoginRefused):
    code = 1251
    sqlstate = "08004"


class BadHandshake(LoginRefused):
    code = 1043
    sqlstate = "08S01"


class ProtocolViolation(GateError):
    code = 1835
    sqlstate = "HY000"


class PacketTooLarge(ProtocolViolation):
    code = 1153
    sqlstate = "08S01"


class PacketsOutOfOrder(ProtocolViolation):
    code = 1156
    sqlstate = "08S01"


class MalformedPacket(ProtocolViolation):
    pass


class ClientTimeout(ProtocolViolation):
    code = 1159
    sqlstate = "08S01"


class TransactionTimeout(ProtocolViolation):
    code = 4031


class Unavailable(GateError):
    code = 1205


class ShardUnavailable(Unavailable):
    pass


class PlanAnew(ShardUnavailable):
    """Nothing of the statement was done: the session plans it again under what is in force now."""


class ShardGone(PlanAnew):
    pass


class TakesNoWrites(PlanAnew):
    pass


class SchemaChanged(PlanAnew):
    pass


class TableChanges(Unavailable):
    pass


class BackendUnreachable(Unavailable):
    code = 1429


class PoolExhausted(Unavailable):
    code = 1203
    sqlstate = "42000"


class MergeServerBusy(PoolExhausted):
    pass


class MergeServerAway(Unavailable):
    code = 1429


class ResultTooSlow(Unavailable):
    code = 1159
    sqlstate = "08S01"


class ResultTooLarge(Unavailable):
    code = 1038
    sqlstate = "HY001"


class SequenceUnavailable(Unavailable):
    code = 1467


class ShuttingDown(Unavailable):
    code = 1053
    sqlstate = "08S01"


class Interrupted(GateError):
    code = 1317
    sqlstate = "70100"


class QueryKilled(Interrupted):
    def __init__(self, text: str = "Query execution was interrupted") -> None:
        super().__init__(text)


class StatementTimeout(Interrupted):
    code = 3024
    sqlstate = "HY000"


class BackendLost(Interrupted):
    pass


class CommitUnknown(Interrupted):
    code = 1180
    sqlstate = "HY000"


class PartlyDone(Interrupted):
    code = 1430
    sqlstate = "HY000"


class ShardsDisagree(GateError):
    code = 1430


class InternalError(GateError):
    pass


class MysqlError(GateError):
    """An ERR packet of a backend; number, state and text reach the client as they came."""

    def __init__(self, number: int, state: str, text: str, *, nothing_done: bool = False) -> None:
        """`nothing_done`: on no shard; the statement may be planned once more."""
        super().__init__(text)
        self._number = number
        self._state = state
        self.nothing_done = nothing_done

    @property
    def number(self) -> int:
        return self._number

    @property
    def state(self) -> str:
        return self._state

    @property
    def message(self) -> str:
        return self.text


OTHER_SCHEMA = frozenset({1054, 1136, 1146})
"""Unknown column, column count, no such table: what a shard says to a statement that was planned
under another schema than it has. It did nothing."""


def says_read_only(error: MysqlError) -> bool:
    """Whether a server refused a write because it takes none, which means that nothing was done."""
    if error.number == 1290:
        return "read-only" in error.text
    return error.number == 1836


class NotStarted(Exception):
    pass


class KubernetesError(Exception):
    pass


class KubernetesUnreachable(KubernetesError):
    pass


class ResourceVersionGone(KubernetesError):
    pass
