"""The transaction of one session; `transaction.control` says what holds."""

from mitosis_gate.transaction.branches import Backends, Holder
from mitosis_gate.transaction.control import AtOnce
from mitosis_gate.transaction.transaction import Transaction

__all__ = ["AtOnce", "Backends", "Holder", "Transaction"]
