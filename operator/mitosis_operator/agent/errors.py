"""Errors of the agent, one tree.

AgentFailure
  BadRequest        the caller sent what no operator can have meant; HTTP 400
  Refused           the operation is well-formed, but must not run here or now; HTTP 409
  OperationFailed   the operation ran and did not reach its goal; told in its result
    Interrupted     a fence or the end of the agent cut it short
  BadVolume         the volume cannot be used: locked, or unreadable
  BadSettings       the environment does not make sense
"""


class AgentFailure(Exception):
    pass


class BadRequest(AgentFailure):
    pass


class Refused(AgentFailure):
    pass


class OperationFailed(AgentFailure):
    pass


class Interrupted(OperationFailed):
    pass


class BadVolume(AgentFailure):
    pass


class BadSettings(AgentFailure):
    pass
