"""Ports of this machine, and who answers there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from comfy_runner.engine.local.loopback import answers, choose_port, is_taken
from comfy_runner.errors import LocalError
from tests.engine.local.fakes import another_program

FOLDER = Path("/home/me/instances/default")


def test_a_port_that_something_listens_on_is_taken() -> None:
    with another_program() as port:
        assert is_taken(port)


def test_a_port_with_nothing_but_closed_connections_is_free() -> None:
    with another_program() as port:
        answers(port, folder=FOLDER, timeout=5)
    assert not is_taken(port)


def test_a_wanted_port_that_is_taken_is_an_error_that_names_it() -> None:
    with another_program() as port, pytest.raises(LocalError, match=rf"port is taken by another program \(got {port}\)"):
        choose_port(port, remembered=None)


def test_the_port_used_last_time_is_taken_again_if_it_is_free() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert choose_port(None, remembered=port) == port


def test_another_port_is_chosen_if_the_one_used_last_time_is_taken() -> None:
    with another_program() as port:
        chosen = choose_port(None, remembered=port)
        assert chosen != port
        assert not is_taken(chosen)


@pytest.mark.parametrize(
    ("answer", "ours"),
    [
        ({"system": {"argv": ["main.py", "--base-directory", f"{FOLDER}/base"]}}, True),
        ({"system": {"os": "posix"}}, True),  # an old ComfyUI does not tell its arguments
        ({"system": {"argv": ["main.py", "--base-directory", "/somewhere/else"]}}, False),
        ({"status": "fine"}, False),
        (["system"], False),
        (None, False),
    ],
)
def test_only_the_comfyui_of_this_instance_counts_as_an_answer(answer: object, ours: bool) -> None:
    with another_program(answer=answer) as port:
        assert answers(port, folder=FOLDER, timeout=5) is ours


def test_a_port_that_nobody_listens_on_does_not_answer() -> None:
    assert not answers(choose_port(None, remembered=None), folder=FOLDER, timeout=5)
