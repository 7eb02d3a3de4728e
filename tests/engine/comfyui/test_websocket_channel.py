"""The websocket: frames in order, a client id for each connection, and no end of the thread but `close`.

On the stand-in and on a real ComfyUI where it is about what they send; faults on the stand-in only.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from comfy_runner._version import __version__
from comfy_runner.engine.comfyui.address import Address, parse_address
from comfy_runner.engine.comfyui.websocket_channel import EventSocket, SocketDown, SocketUp
from comfy_runner.engine.comfyui.ws_messages import Ended, Frame
from comfy_runner.engine.reports import CachedNodes, NodeProgress
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.inbox import Inbox
from tests.engine.comfyui.support import QUICK, Server, plain_graph, sampler_graph
from tests.standin import HELD, StandIn, State

Heard = Frame | SocketUp | SocketDown


class Ear:
    """An event socket and what it has delivered."""

    def __init__(self, address: Address, timeouts: Timeouts) -> None:
        self.heard = Inbox[Heard]()
        self.socket = EventSocket(address, self.heard.put, timeouts=timeouts)

    def until(self, kind: type[Heard]) -> list[Heard]:
        """Return what is heard up to the next of a kind."""
        found: list[Heard] = []
        deadline = time.monotonic() + HELD
        while not found or not isinstance(found[-1], kind):
            found.append(self.heard.get(timeout=max(0.0, deadline - time.monotonic())))
        return found


@contextmanager
def listening(url: str, *, timeouts: Timeouts = QUICK) -> Iterator[Ear]:
    ear = Ear(parse_address(url), timeouts)
    try:
        yield ear
    finally:
        ear.socket.close()


def client_id_of(ear: Ear) -> str:
    up = ear.until(SocketUp)[-1]
    assert isinstance(up, SocketUp)
    return up.client_id


def test_a_job_is_told_from_its_start_to_its_end(modern: Server) -> None:
    with listening(modern.url) as ear:
        prompt_id = str(uuid.uuid4())
        modern.http.submit(sampler_graph(steps=2), prompt_id=prompt_id, client_id=client_id_of(ear))
        frames = ear.until(Ended)
    assert isinstance(frames[0], CachedNodes)
    assert [frame for frame in frames if isinstance(frame, NodeProgress) and frame.node == "first"] == [
        NodeProgress(prompt_id, "first", 0, 0),
        NodeProgress(prompt_id, "first", 1, 2),
        NodeProgress(prompt_id, "first", 2, 2),
    ]
    assert frames[-1] == Ended(prompt_id)


def test_the_history_is_written_when_the_end_is_told(modern: Server) -> None:
    with listening(modern.url) as ear:
        client_id = client_id_of(ear)
        for _ in range(10):
            prompt_id = str(uuid.uuid4())
            modern.http.submit(plain_graph(), prompt_id=prompt_id, client_id=client_id)
            assert ear.until(Ended)[-1] == Ended(prompt_id)
            assert modern.http.history(prompt_id) is not None


def test_the_handshake_carries_the_headers_and_the_query_and_no_origin(standin: StandIn, state: State) -> None:
    address = parse_address(standin.url, headers={"X-Token": "t"}, query={"door": "q"})
    ear = Ear(address, QUICK)
    client_id_of(ear)
    ear.socket.close()
    (asked,) = state.requests("GET", "/ws")
    assert asked.headers["x-token"] == "t"
    assert asked.query["door"] == "q"
    assert "origin" not in asked.headers


def test_a_connection_that_is_cut_is_made_anew_with_another_client_id(standin: StandIn, state: State) -> None:
    with listening(standin.url) as ear:
        first = client_id_of(ear)
        state.drop_sockets()
        ear.until(SocketDown)
        assert client_id_of(ear) != first


def test_a_refused_handshake_is_told_and_tried_again(standin: StandIn, state: State) -> None:
    state.socket_mode = "refused"
    with listening(standin.url) as ear:
        down = ear.until(SocketDown)[-1]
        assert isinstance(down, SocketDown)
        state.socket_mode = "ok"
        client_id_of(ear)


def test_a_redirect_to_a_login_page_is_not_followed(standin: StandIn, state: State) -> None:
    state.login_page = True
    with listening(standin.url) as ear:
        ear.until(SocketDown)
    assert {asked.path for asked in state.asked} == {"/ws"}


def test_a_server_that_closes_every_connection_is_told_as_down(standin: StandIn, state: State) -> None:
    state.socket_mode = "closing"
    with listening(standin.url) as ear:
        assert isinstance(ear.until(SocketDown)[-1], SocketDown)


def test_a_server_that_gives_no_sign_of_life_is_given_up(standin: StandIn, state: State) -> None:
    state.socket_mode = "silent"
    with listening(standin.url, timeouts=replace(QUICK, silence=0.02)) as ear:
        assert isinstance(ear.until(SocketDown)[-1], SocketDown)


def test_a_server_that_answers_pings_is_not_given_up_though_it_says_nothing(standin: StandIn, state: State) -> None:
    # Long enough for the stand-in, a thread of this process, to answer on a machine that is busy.
    with listening(standin.url, timeouts=replace(QUICK, silence=0.2)) as ear:
        client_id = client_id_of(ear)
        with pytest.raises(queue.Empty):
            ear.heard.get(timeout=0.9)
    assert state.client_ids == [client_id]


def test_nonsense_is_passed_over(standin: StandIn, state: State) -> None:
    state.socket_mode = "garbage"
    with listening(standin.url) as ear:
        client_id = client_id_of(ear)
        Server(standin.url, state).http.submit(plain_graph(), prompt_id=str(uuid.uuid4()), client_id=client_id)
        frames = ear.until(Ended)
    assert not any(isinstance(frame, SocketDown) for frame in frames)


def test_a_port_where_nobody_listens_is_told_and_tried_again() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with listening(f"http://127.0.0.1:{port}") as ear:
        for _ in range(3):
            down = ear.until(SocketDown)[-1]
            assert isinstance(down, SocketDown)


@pytest.mark.parametrize("answer", [b"HTTP/1.1\r\n\r\n", b"\x00\xff", b"HTTP/1.1 200 OK\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n"])
def test_whatever_answers_in_place_of_a_websocket_is_no_end_of_the_thread(answer: bytes) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def talk() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

        talker = threading.Thread(target=talk)
        talker.start()
        with listening(f"http://127.0.0.1:{listener.getsockname()[1]}") as ear:
            ear.until(SocketDown)
            ear.until(SocketDown)
        talker.join(HELD)


def test_a_redirect_to_another_websocket_is_not_followed_for_it_would_be_given_our_headers() -> None:
    asked: list[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]

        def redirect() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    asked.append(connection.recv(4096).split(b"?")[0])
                    answer = f"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:{port}/other\r\n\r\n"
                    connection.sendall(answer.encode())

        talker = threading.Thread(target=redirect)
        talker.start()
        with listening(f"http://127.0.0.1:{port}") as ear:
            ear.until(SocketDown)
            ear.until(SocketDown)
        talker.join(HELD)
    assert asked == [b"GET /ws"] * 2


@pytest.mark.parametrize("excepted", ["", "example.org"])
def test_no_proxy_hears_of_a_socket_on_this_machine(standin: StandIn, monkeypatch: pytest.MonkeyPatch, excepted: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("no_proxy", excepted)
        with listening(standin.url) as ear:
            client_id_of(ear)
        proxy.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_a_socket_to_another_machine_goes_through_the_proxy_as_requests_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as proxy:
        monkeypatch.setenv("http_proxy", f"http://ann:secret@127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with listening("http://gpu.example:8188"):
            proxy.settimeout(HELD)
            connection, _ = proxy.accept()
            with connection:
                asked = connection.recv(4096).decode()
    assert asked.startswith("CONNECT gpu.example:8188 ")
    assert "Proxy-Authorization: Basic YW5uOnNlY3JldA==" in asked


def test_a_handshake_has_our_name_and_version(standin: StandIn, state: State) -> None:
    with listening(standin.url) as ear:
        client_id_of(ear)
    assert [asked.headers["user-agent"] for asked in state.requests("GET", "/ws")] == [f"comfy-runner/{__version__}"]


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("socket ")}


def test_closing_ends_the_thread(standin: StandIn) -> None:
    with listening(standin.url) as ear:
        client_id_of(ear)
    assert not any(standin.url in name for name in threads())


def test_closing_while_a_handshake_is_not_answered_ends_the_thread() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with listening(url, timeouts=replace(QUICK, connect=HELD)):
            connection, _ = listener.accept()
            connection.recv(4096)
        connection.close()
        assert not any(url in name for name in threads())


def test_closing_twice_does_nothing(standin: StandIn) -> None:
    with listening(standin.url) as ear:
        ear.socket.close()


def test_nothing_is_told_after_closing(standin: StandIn) -> None:
    with listening(standin.url) as ear:
        client_id_of(ear)
        ear.socket.close()
        assert ear.heard.empty()
