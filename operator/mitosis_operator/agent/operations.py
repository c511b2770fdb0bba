"""Taking in operations: each id once, one at a time, results kept; `fence` interrupts the rest."""

import threading

from mitosis_operator.agent import decisions
from mitosis_operator.agent.errors import AgentFailure, Refused
from mitosis_operator.agent.lifecycle import log
from mitosis_operator.agent.state import Memory
from mitosis_operator.agent.tools import Tools
from mitosis_operator.agent.verbs import Run
from mitosis_operator.errors import MysqlError
from mitosis_operator.mysql.instance import Operation, OperationState, Progress, Verb


class Operations:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}

    def find(self, operation_id: str) -> OperationState | None:
        return self._tools.store.memory.find(operation_id)

    def take(self, operation: Operation) -> OperationState:
        """Begin it, or return what is known of this id; raises Refused."""
        with self._lock:
            if known := self.find(operation.id):
                return known
            self._tools.store.update(lambda memory: _accept(memory, operation))
            if operation.verb is Verb.FENCE:
                self._interrupt_all()
            run = self._runs[operation.id] = Run(operation, self._tools)
            name = f"op-{operation.verb.value}"
            threading.Thread(target=self._perform, args=(run,), name=name, daemon=True).start()
            return OperationState(operation.id, operation.verb, Progress.RUNNING)

    def close(self) -> None:
        """Let what runs end soon."""
        with self._lock:
            self._interrupt_all()

    def _interrupt_all(self) -> None:
        for run in self._runs.values():
            run.interrupt()

    def _perform(self, run: Run) -> None:
        operation = run.operation
        log(f"{operation.verb.value} {operation.id} at epoch {operation.epoch}: begins")
        error = ""
        try:
            run.perform()
        except (AgentFailure, MysqlError) as exc:
            error = str(exc)
        except Exception as exc:  # the border of this unit of work: its result must be stored
            error = f"{type(exc).__name__}: {exc}"
        state = Progress.FAILED if error else Progress.DONE
        result = OperationState(operation.id, operation.verb, state, error)
        log(f"{operation.verb.value} {operation.id}: {state.value} {error}".rstrip())
        with self._lock:
            self._tools.store.update(lambda memory: memory.with_operation(result))
            del self._runs[operation.id]


def _accept(memory: Memory, operation: Operation) -> Memory:
    if reason := decisions.refusal(memory, operation):
        raise Refused(reason)
    return decisions.accepted(memory, operation)
