"""Start, stop and status, tried on a fake ComfyUI that starts at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from comfy_runner.engine.local import LocalOptions, LocalServer, logs, process, start, status, stop
from comfy_runner.engine.local.child_process import ProcessRecord, find_process, read_record, write_record
from comfy_runner.errors import LocalError
from tests.engine.local.fakes import another_program, fake_options


@pytest.fixture
def options(tmp_path: Path) -> Iterator[LocalOptions]:
    options = fake_options(tmp_path)
    yield options
    stop(options)


def silence(_: str) -> None:
    """Take progress sentences."""


def kill(server: LocalServer) -> None:
    process = psutil.Process(server.pid)
    os.kill(server.pid, signal.SIGKILL)
    process.wait(timeout=240)


def stats(server: LocalServer) -> Any:
    return requests.get(f"{server.url}/system_stats", timeout=30).json()


def test_a_started_server_answers_and_the_status_says_so(options: LocalOptions) -> None:
    server = start(options, say=silence)
    found = status(options)
    assert (found.is_set_up, found.running, found.answers, found.stale_pid) == (True, True, True, None)
    assert (found.url, found.pid, found.log, found.engine_version) == (server.url, server.pid, server.log, "9.8.7")


def test_a_second_start_returns_the_server_that_runs(options: LocalOptions) -> None:
    assert start(options, say=silence) == start(options, say=silence)


def test_two_starts_at_the_same_time_share_one_server(options: LocalOptions) -> None:
    with ThreadPoolExecutor() as pool:
        servers = list(pool.map(lambda _: start(options, say=silence), range(4)))
    assert len({server.pid for server in servers}) == 1


def test_two_instances_have_servers_of_their_own(options: LocalOptions) -> None:
    other = replace(options, instance="other")
    try:
        assert start(options, say=silence).port != start(other, say=silence).port
    finally:
        stop(other)


def test_a_stopped_server_is_gone_and_leaves_no_trace_in_the_status(options: LocalOptions) -> None:
    server = start(options, say=silence)
    assert stop(options) is True
    assert not psutil.pid_exists(server.pid)
    assert (status(options).running, status(options).stale_pid) == (False, None)


def test_stop_says_when_nothing_ran(options: LocalOptions) -> None:
    assert stop(options) is False


def test_a_server_started_again_has_the_same_port(options: LocalOptions) -> None:
    first = start(options, say=silence)
    stop(options)
    assert start(options, say=silence).port == first.port


def test_a_killed_server_is_noted_as_stale_and_started_again(options: LocalOptions) -> None:
    first = start(options, say=silence)
    kill(first)
    found = status(options)
    assert (found.running, found.answers, found.stale_pid) == (False, False, first.pid)
    said: list[str] = []
    second = start(options, say=said.append)
    assert second.pid != first.pid
    assert said[0] == f"the last server (pid {first.pid}) has ended without being stopped"


def test_stop_never_ends_a_program_that_got_the_servers_old_pid(options: LocalOptions) -> None:
    options.folder.mkdir(parents=True)
    write_record(options.record, ProcessRecord(pid=os.getpid(), created=psutil.Process().create_time() - 1000, port=1))
    assert status(options).stale_pid == os.getpid()
    assert stop(options) is False
    assert read_record(options.record) is None


def test_a_wanted_port_that_is_taken_is_an_error_and_nothing_is_started(options: LocalOptions) -> None:
    with another_program() as port, pytest.raises(LocalError, match="taken by another program"):
        start(replace(options, port=port), say=silence)
    assert not options.record.exists()


def test_a_wanted_port_other_than_the_running_servers_is_an_error(options: LocalOptions) -> None:
    port = start(options, say=silence).port
    with pytest.raises(LocalError, match=f"{port}: instance default already runs on another port"):
        start(replace(options, port=1 if port != 1 else 2), say=silence)


def test_a_port_that_is_taken_while_the_server_starts_makes_it_start_on_another_one(options: LocalOptions) -> None:
    said: list[str] = []
    with ExitStack() as thief:

        def take_the_first_port(sentence: str) -> None:
            said.append(sentence)
            if len(said) == 1:
                port = int(sentence.rpartition(" ")[2])
                thief.enter_context(another_program(port, answer={"system": {"argv": ["another ComfyUI"]}}))

        server = start(options, say=take_the_first_port)
    assert said[1] == f"port {said[0].rpartition(' ')[2]} has been taken in the meantime"
    assert any(str(options.folder) in word for word in stats(server)["system"]["argv"])


def test_a_crash_while_it_starts_shows_the_end_of_its_log(options: LocalOptions) -> None:
    with pytest.raises(LocalError, match=r"(?s)exit code 1 while it started.*the reason of the crash") as caught:
        start(replace(options, server_args=("--mode", "crash")), say=silence)
    assert "comfy-runner local logs" in caught.value.problems[0].hint
    assert (status(options).running, status(options).stale_pid) == (False, None)
    assert logs(options, lines=1) == "the reason of the crash"


def test_a_server_killed_by_the_system_is_told_from_a_crash(options: LocalOptions) -> None:
    with pytest.raises(LocalError, match="was killed, perhaps because memory ran out"):
        start(replace(options, server_args=("--mode", "suicide")), say=silence)


def test_a_server_that_does_not_answer_in_time_is_named_and_left_for_a_longer_wait(options: LocalOptions) -> None:
    silent = replace(options, server_args=("--mode", "silent"))
    with pytest.raises(LocalError, match=r"runs but does not answer \(pid \d+, waited 0.5 s\)"):
        start(silent, say=silence, timeout=0.5)
    found = status(silent)
    assert (found.running, found.answers) == (True, False)
    with pytest.raises(LocalError, match=rf"pid {found.pid}, waited 0.2 s"):
        start(silent, say=silence, timeout=0.2)
    assert stop(silent) is True


def test_ctrl_c_while_it_starts_ends_the_server(options: LocalOptions) -> None:
    silent = replace(options, server_args=("--mode", "silent"))
    program = f"from pathlib import *; from comfy_runner.engine.local import *; start({silent!r}, say=print)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as client:
        while (record := read_record(silent.record)) is None:
            assert client.poll() is None
        client.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in client.communicate(timeout=240)[1]
    assert not psutil.pid_exists(record.pid)
    assert (status(silent).running, status(silent).stale_pid) == (False, None)


def test_ctrl_c_at_the_very_moment_its_pid_file_is_written_ends_the_server(
    options: LocalOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[ProcessRecord] = []

    def write_and_interrupt(path: Path, record: ProcessRecord) -> None:
        write_record(path, record)
        written.append(record)
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "write_record", write_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        start(options, say=silence)
    assert find_process(written[0]) is None
    assert (status(options).running, status(options).stale_pid) == (False, None)


def test_a_server_outlives_the_program_that_started_it(options: LocalOptions) -> None:
    program = f"from pathlib import *; from comfy_runner.engine.local import *; start({options!r}, say=print)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240, stdout=subprocess.DEVNULL)
    found = status(options)
    assert (found.running, found.answers) == (True, True)


def test_other_options_than_the_running_servers_are_pointed_out(options: LocalOptions) -> None:
    start(options, say=silence)
    said: list[str] = []
    start(replace(options, server_args=("--mode", "serve", "--cache-none")), say=said.append)
    assert said == ["instance default already runs, with other options; stop it first to change them"]


def test_the_server_has_a_session_of_its_own(options: LocalOptions) -> None:
    server = start(options, say=silence)
    assert os.getsid(server.pid) == server.pid


def test_the_log_of_the_server_before_is_kept(options: LocalOptions) -> None:
    with pytest.raises(LocalError):
        start(replace(options, server_args=("--mode", "crash")), say=silence)
    start(options, say=silence)
    previous = options.folder / "server.previous.log"
    assert "the reason of the crash" in previous.read_text(encoding="utf-8")
    assert "fake ComfyUI serve" in logs(options)


def test_main_runs_as_if_python_had_started_it(options: LocalOptions) -> None:
    seen = stats(start(options, say=silence))
    assert options.comfyui is not None
    assert seen["file"] == str(options.comfyui / "main.py")
    assert seen["path"][0] == str(options.comfyui)
    assert not any(entry.endswith("local") for entry in seen["path"])


def test_a_folder_that_is_no_checkout_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="not a ComfyUI checkout"):
        start(LocalOptions(home=tmp_path, comfyui=tmp_path, python=Path(sys.executable)), say=silence)


def test_a_checkout_without_a_python_is_an_error_with_a_way_out(options: LocalOptions) -> None:
    with pytest.raises(LocalError, match=r"no Python for this checkout \(got neither venv nor .venv\)") as caught:
        start(replace(options, python=None), say=silence)
    assert "name the Python" in caught.value.problems[0].hint


def test_a_checkout_is_run_by_its_own_environment(options: LocalOptions) -> None:
    assert options.comfyui is not None
    own = options.comfyui / ".venv" / "bin"
    own.mkdir(parents=True)
    (own / "python").symlink_to(sys.executable)
    server = start(replace(options, python=None), say=silence)
    assert psutil.Process(server.pid).cmdline()[0] == str(own / "python")
