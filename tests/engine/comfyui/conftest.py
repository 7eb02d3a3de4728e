"""The servers: a stand-in for each test, and both it and a real ComfyUI where a test says ``server``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.comfyui.support import Server
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


_REAL = pytest.param("real 0.3.75", marks=pytest.mark.real)
_EARLY_2024 = pytest.param("real early 2024", marks=pytest.mark.real)


@pytest.fixture(params=["standin", _REAL, _EARLY_2024])
def server(request: pytest.FixtureRequest) -> Server:
    """A stand-in and then real servers, new and old: what is true of one has to be true of the others."""
    return _server(request)


@pytest.fixture(params=["standin", _REAL])
def modern(request: pytest.FixtureRequest) -> Server:
    """The same without early 2024, for tests in which our own prompt id, or what newer servers tell, matters."""
    return _server(request)


def _server(request: pytest.FixtureRequest) -> Server:
    if request.param == "standin":
        standin: StandIn = request.getfixturevalue("standin")
        return Server(standin.url, standin.state)
    name = "early_2024_server" if request.param == "real early 2024" else "comfyui_server"
    return Server(request.getfixturevalue(name).url)
