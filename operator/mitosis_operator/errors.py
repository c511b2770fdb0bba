"""Errors of the operator, one tree.

MitosisError            what was tried, on what, why not, what helps
  AgentError            an agent did not do what it was asked
    AgentUnreachable    nobody answered, or not in time, or under a wrong name: nothing is known
    AgentRefused        the agent answered no, with its reason
  MysqlError            mysqld answered a statement with an error; carries its number
    MysqlUnreachable    no answer, or none in time: what the statement did is not known
  KubeError             the API server did not do what it was asked
    NotFound            no such object
    Conflict            the object is another one than the caller believes, or exists already
    Invalid             refused by a schema, a rule or a quota: the same request fails again
    Forbidden           the service account may not do this
    Unavailable         nobody answered, or not in time, or the server is overloaded
  LeaseLost             this process is not, or no longer, the leader: it must not act
  BadSettings           the environment of the program does not make sense
"""


class MitosisError(Exception):
    pass


class AgentError(MitosisError):
    pass


class AgentUnreachable(AgentError):
    pass


class AgentRefused(AgentError):
    def __init__(self, message: str, http_status: int) -> None:
        super().__init__(message)
        self.http_status = http_status


class MysqlError(MitosisError):
    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


class MysqlUnreachable(MysqlError):
    pass


class KubeError(MitosisError):
    pass


class NotFound(KubeError):
    pass


class Conflict(KubeError):
    pass


class Invalid(KubeError):
    pass


class Forbidden(KubeError):
    pass


class Unavailable(KubeError):
    pass


class LeaseLost(MitosisError):
    pass


class BadSettings(MitosisError):
    pass
