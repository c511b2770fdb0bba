"""The common case: one statement for one shard out, its answer back.

`_compiled` (C, limited API of Python 3.11) does it without a line of Python between the sockets. It
is optional: without it, or with MITOSIS_PLAIN=1 in the environment, `plain` leaves everything to
the sessions and connections, which do the same.
"""

import os
from typing import TYPE_CHECKING

PLAIN = "MITOSIS_PLAIN"
"""Of the environment; `1`: do without the compiled part."""

if TYPE_CHECKING or os.environ.get(PLAIN) == "1":
    from mitosis_gate.relay import plain as _chosen
else:
    try:
        from mitosis_gate.relay import _compiled as _chosen
    except ImportError:
        from mitosis_gate.relay import plain as _chosen

IS_COMPILED = _chosen.__name__.endswith("._compiled")

SessionState = _chosen.SessionState
BackendState = _chosen.BackendState
ScannerState = _chosen.ScannerState
LaneState = _chosen.LaneState
LanesState = _chosen.LanesState
PoolState = _chosen.PoolState
PointState = _chosen.PointState
PlannerState = _chosen.PlannerState
BeginningState = _chosen.BeginningState
BranchesState = _chosen.BranchesState
StatementState = _chosen.StatementState
divide = _chosen.divide
learn = _chosen.learn
shape_of = _chosen.shape_of

__all__ = [
    "IS_COMPILED",
    "PLAIN",
    "BackendState",
    "BeginningState",
    "BranchesState",
    "LaneState",
    "LanesState",
    "PlannerState",
    "PointState",
    "PoolState",
    "ScannerState",
    "SessionState",
    "StatementState",
    "divide",
    "learn",
    "shape_of",
]
