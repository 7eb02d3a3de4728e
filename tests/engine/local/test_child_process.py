"""The pid file, and whose process it names."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from comfy_runner.engine.local.child_process import ProcessRecord, end_process, find_process, read_record, write_record
from comfy_runner.engine.local.state_files import read_json, tail, write_json


def own_record() -> ProcessRecord:
    return ProcessRecord(pid=os.getpid(), created=psutil.Process().create_time(), port=8188, version="0.3.75", flags=("--cpu",))


def test_a_record_survives_writing_and_reading(tmp_path: Path) -> None:
    write_record(tmp_path / "pid.json", own_record())
    assert read_record(tmp_path / "pid.json") == own_record()


def test_a_running_process_is_found() -> None:
    assert find_process(own_record()) == psutil.Process()


def test_a_pid_that_now_belongs_to_a_younger_program_is_not_ours() -> None:
    assert find_process(replace(own_record(), created=own_record().created - 1000)) is None


def test_a_process_that_has_ended_is_not_found_even_while_nobody_has_waited_for_it() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        record = ProcessRecord(pid=child.pid, created=psutil.Process(child.pid).create_time())
        assert find_process(record) is not None
        assert child.stdin is not None
        child.stdin.close()
        while find_process(record) is not None:
            pass
        assert child.returncode is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"pid": "1", "created": 0}', '{"pid": -1, "created": 0}', '{"pid": 0, "created": 0}', "\x00"],
)
def test_a_pid_file_that_makes_no_sense_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid.json").write_text(text, encoding="utf-8")
    assert read_record(tmp_path / "pid.json") is None


def test_a_missing_pid_file_counts_as_none(tmp_path: Path) -> None:
    assert read_record(tmp_path / "pid.json") is None


def test_a_reader_never_sees_a_part_of_a_file_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "pid.json"
    versions = [{"text": letter * 100_000} for letter in "ab"]
    write_json(path, versions[0])

    def write_often() -> None:
        for turn in range(100):
            write_json(path, versions[turn % 2])

    writer = threading.Thread(target=write_often)
    writer.start()
    seen = []
    while writer.is_alive():
        seen.append(read_json(path) in versions)
    writer.join()
    assert all(seen)
    assert [entry.name for entry in tmp_path.iterdir()] == ["pid.json"]


def test_a_process_that_ignores_the_polite_signal_is_ended_by_force_with_its_children() -> None:
    deaf = "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    program = f"{deaf}child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1); print(child.pid, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        end_process(psutil.Process(parent.pid), timeout=0.5)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
        assert not psutil.pid_exists(parent.pid)


def test_the_tail_of_a_log_shows_what_a_terminal_would_show(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\ntwo\r\n 0%|  |\r 50%|# |\r100%|##|\nbad \xff byte\n")
    assert tail(tmp_path / "log", lines=2) == "100%|##|\nbad \ufffd byte"


def test_the_tail_of_a_missing_log_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "log", lines=2) == ""


def test_the_tail_of_a_log_has_no_secrets(tmp_path: Path) -> None:
    said = "Looking in http://mary:p@ss@host:80/simple and 'https://token@host/x?key=1&sig=2', git+ssh://git@host/repo#sha256=3\n"
    (tmp_path / "log").write_text(said, encoding="utf-8")

    shown = tail(tmp_path / "log", lines=2)

    assert shown == "Looking in http://****@host:80/simple and 'https://****@host/x?****', git+ssh://****@host/repo#sha256=3"
