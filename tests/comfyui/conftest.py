"""The servers: a stand-in for each test, and both it and a real ComfyUI where a test says ``server``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.comfyui.support import Server
from tests.standin import StandIn, State


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """A stand-in of its own for a test; what is to be wrong with it is set on its state."""
    with StandIn() as server:
        yield server


@pytest.fixture
def state(standin: StandIn) -> State:
    """The state of the test's stand-in."""
    return standin.state


@pytest.fixture
def faulty(standin: StandIn) -> Server:
    """The test's stand-in as a server."""
    return Server(standin.url, standin.state)


@pytest.fixture(params=["standin", "real"])
def server(request: pytest.FixtureRequest) -> Server:
    """A stand-in and then a real ComfyUI: what is true of one has to be true of the other."""
    if request.param == "real":
        return Server(request.getfixturevalue("comfyui_server").url)
    standin: StandIn = request.getfixturevalue("standin")
    return Server(standin.url, standin.state)
