"""A ComfyUI for tests: the real one's HTTP routes, websocket, cache and files, and its faults on demand.

`StandIn` serves; its `State` is the only thing that a test touches: settings, faults, and a record of all that was asked.
No model runs here: pictures are noise that depends on the graph.
"""

from __future__ import annotations

from tests.standin.faults import HELD, Gate, NodeFault, ReplyFault, ViewFault
from tests.standin.generations import EARLY_2024, V0_3_40, V0_3_75, V0_38, Generation
from tests.standin.server import StandIn
from tests.standin.state import Asked, State

__all__ = [
    "EARLY_2024",
    "HELD",
    "V0_3_40",
    "V0_3_75",
    "V0_38",
    "Asked",
    "Gate",
    "Generation",
    "NodeFault",
    "ReplyFault",
    "StandIn",
    "State",
    "ViewFault",
]
