"""A stand-in as a process: ``python -m tests.standin PORT [JSON]`` serves until it is ended; the JSON has fields of `State`."""

from __future__ import annotations

import json
import signal
import sys

from tests.standin.server import StandIn
from tests.standin.state import State

if __name__ == "__main__":
    port, fields = [*sys.argv[1:], "{}"][:2]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with StandIn(State(**json.loads(fields)), port=int(port)):
        signal.pause()
