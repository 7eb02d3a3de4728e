from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from comfy_runner import __version__
from comfy_runner.errors import RunFolderError
from comfy_runner.store.lock import HOLDER, LOCK, FolderLock, Holder, holder

_HOLD = """
import pathlib, sys
from comfy_runner.store.lock import FolderLock
lock = FolderLock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
lock.close()
"""
_DAMAGED = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'{"pid": 1}',
    b'{"pid": "1", "host": "a", "since": "2026-11-23T06:20:00+00:00", "version": "1"}',
    b'{"pid": true, "host": "a", "since": "2026-11-23T06:20:00+00:00", "version": "1"}',
    b'{"pid": -1, "host": "a", "since": "2026-11-23T06:20:00+00:00", "version": "1"}',
    b'{"pid": 1, "host": 7, "since": "2026-11-23T06:20:00+00:00", "version": "1"}',
    b'{"pid": 1, "host": "a\\u001b[31m", "since": "2026-11-23T06:20:00+00:00", "version": "1"}',
    b'{"pid": 1, "host": "a", "since": "yesterday", "version": "1"}',
    b'{"pid": 1, "host": "a", "since": "0001-01-01T00:00:00+14:00", "version": "1"}',
    b'{"pid": 1, "host": "a", "since": 5, "version": "1"}',
    b'{"pid": 1, "host": "a", "since": "2026-11-23T06:20:00+00:00", "version": "' + b"1" * 5000 + b'"}',
    b"\xff\xfe",
    b"[" * 4000,
]


@contextmanager
def _held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold the lock in another process."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


def test_a_second_client_is_refused_by_whom_and_since_when(tmp_path: Path) -> None:
    with _held(tmp_path) as process, pytest.raises(RunFolderError) as caught:
        FolderLock(tmp_path)

    who = rf"process {process.pid} on {re.escape(platform.node())}, since \d{{4}}-\d\d-\d\d \d\d:\d\d"
    assert re.search(rf"is used by another comfy-runner: {who}$", str(caught.value))
    assert "comfy-runner cancel" in caught.value.problems[0].hint


def test_a_second_lock_in_the_same_process_is_refused(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    try:
        with pytest.raises(RunFolderError, match=f"process {os.getpid()} "):
            FolderLock(tmp_path)
    finally:
        lock.close()


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        FolderLock(tmp_path).close()


def test_a_lock_released_by_another_thread_can_be_taken_again(tmp_path: Path) -> None:
    thread = threading.Thread(target=FolderLock(tmp_path).close)
    thread.start()
    thread.join()

    FolderLock(tmp_path).close()


def test_releasing_twice_leaves_the_next_holder_alone(tmp_path: Path) -> None:
    first = FolderLock(tmp_path)
    first.close()
    second = FolderLock(tmp_path)

    first.close()

    assert holder(tmp_path) is not None
    assert (tmp_path / HOLDER).exists()
    second.close()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with _held(tmp_path) as process:
        process.kill()
        process.wait()

    assert (tmp_path / HOLDER).exists()
    assert holder(tmp_path) is None
    FolderLock(tmp_path).close()


def test_a_file_where_the_folder_should_be_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine", encoding="utf-8")

    with pytest.raises(OSError, match="run"):
        FolderLock(tmp_path / "run")


# Who holds it


def test_the_holder_is_told_while_it_holds_the_lock(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    found = holder(tmp_path)
    lock.close()

    assert found is not None
    assert (found.pid, found.host, found.version) == (os.getpid(), platform.node(), __version__)
    assert datetime.fromisoformat(found.since) <= datetime.now(UTC)
    assert holder(tmp_path) is None
    assert not (tmp_path / HOLDER).exists()


def test_asking_for_the_holder_does_not_take_the_lock(tmp_path: Path) -> None:
    FolderLock(tmp_path).close()
    (tmp_path / LOCK).touch()

    assert holder(tmp_path) is None

    FolderLock(tmp_path).close()


def test_asking_for_the_holder_makes_no_file(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    assert holder(tmp_path / "missing") is None
    assert list(tmp_path.iterdir()) == []


def test_the_note_of_somebody_who_holds_nothing_deceives_nobody(tmp_path: Path) -> None:
    note = {"pid": os.getpid(), "host": platform.node(), "since": "2026-11-23T06:20:00+00:00", "version": "1"}
    (tmp_path / HOLDER).write_text(json.dumps(note), encoding="utf-8")
    (tmp_path / LOCK).touch()

    assert holder(tmp_path) is None
    FolderLock(tmp_path).close()


@pytest.mark.parametrize("content", [*_DAMAGED, None], ids=lambda content: repr(content)[:40])
def test_a_damaged_or_missing_note_leaves_the_lock_as_it_is(
    tmp_path: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfy_runner.store.lock._ACQUIRE_SECONDS", 0.01)
    lock = FolderLock(tmp_path)
    (tmp_path / HOLDER).unlink()
    if content is not None:
        (tmp_path / HOLDER).write_bytes(content)

    assert holder(tmp_path) == Holder()
    with pytest.raises(RunFolderError, match=r"is used by another comfy-runner$"):
        FolderLock(tmp_path)

    lock.close()
    FolderLock(tmp_path).close()


def test_a_note_that_cannot_be_written_leaves_the_lock_as_it_is(tmp_path: Path) -> None:
    (tmp_path / HOLDER).mkdir()

    lock = FolderLock(tmp_path)

    assert holder(tmp_path) == Holder()
    lock.close()
    assert (tmp_path / HOLDER).is_dir()


def test_a_holder_without_a_name_of_its_computer_is_on_this_one() -> None:
    text = str(Holder(7, "", "2026-11-23T06:20:00+00:00", "1"))

    assert text.startswith("process 7 on this computer, since 2026-11-2")
