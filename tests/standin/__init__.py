"""A ComfyUI for tests: the real one's HTTP routes, websocket, cache and files, and its faults on demand.

`StandIn` serves; its `State` is the only thing that a test touches: settings, faults, and a record of all that was asked.
No model runs here: pictures are noise that depends on the graph. `State.ran` counts what a GPU would have had to do.

Tests that need none of the following take the fixture ``server`` of ``tests/comfyui`` and run on real servers too, of 0.3.75 and
of early 2024. Only the stand-in can

- lose or falsify an answer (lost replies, 500 with effect, 503, 413, 403, a login page): a real server answers as it should;
- delay the history, freeze the worker, be deaf or silent on a socket: these are races and deaths that nobody can order;
- forget everything, or be gone, at a chosen moment: a real one takes seconds to start again, and not at a node of ours;
- die while it writes a chosen file;
- run out of memory or be blocked at a chosen node: on a CPU there is no such limit, and blocking takes a custom node;
- paint flat pictures until its memory is freed: that takes a half-precision VAE on a GPU;
- send slow, broken, flat or wrong pictures, megabytes of previews and nonsense: a real one does not;
- name files `../../x`, or list models as Windows does: a real one on this system does not;
- be a ComfyUI of 0.3.40 or 0.38: there is no package that carries one.
"""

from __future__ import annotations

from tests.standin.cloud import Cloud
from tests.standin.faults import HELD, CacheMode, Gate, NodeFault, ReplyFault, Trouble, ViewFault
from tests.standin.generations import EARLY_2024, V0_3_40, V0_3_75, V0_33, V0_38, Generation
from tests.standin.records import Asked, Ran, Work
from tests.standin.server import StandIn
from tests.standin.state import State

__all__ = [
    "EARLY_2024",
    "HELD",
    "V0_3_40",
    "V0_3_75",
    "V0_33",
    "V0_38",
    "Asked",
    "CacheMode",
    "Cloud",
    "Gate",
    "Generation",
    "NodeFault",
    "Ran",
    "ReplyFault",
    "StandIn",
    "State",
    "Trouble",
    "ViewFault",
    "Work",
]
