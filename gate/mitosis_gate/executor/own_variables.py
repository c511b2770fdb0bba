"""Carries out what concerns the gate's own session variables."""

from mitosis_gate.errors import InTransaction, MysqlError
from mitosis_gate.executor.client import Client
from mitosis_gate.planner.plan import Assignment, OwnVariables
from mitosis_gate.wire import constants as c
from mitosis_gate.wire import packets


def assign(client: Client, assignment: Assignment) -> None:
    if assignment.name == "transaction_mode" and client.in_transaction:
        raise InTransaction(
            "transaction_mode can't be changed while a transaction is in progress: "
            "COMMIT or ROLLBACK first"
        )
    if (
        assignment.value == b"NONE"
        and not client.capabilities & c.CLIENT_OPTIONAL_RESULTSET_METADATA
    ):
        raise MysqlError(3640, "HY000", "The client doesn't support optional metadata transfer")
    client.set_own(assignment.name, assignment.value.decode() or None)


def answer(plan: OwnVariables, client: Client) -> None:
    values = [client.own(name).encode() for _, name in plan.columns]
    if plan.is_shown:
        values[0] = plan.columns[0][1].encode()
    columns = [
        packets.Column(title, length=4 * max(64, len(value))).pack()
        for (title, _), value in zip(plan.columns, values, strict=True)
    ]
    client.send_result(columns, [packets.text_row(values)])
