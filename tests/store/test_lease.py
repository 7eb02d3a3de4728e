"""Of several processes that want to write at a URL, one does: leases taken at a time, run out, lost and given up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from comfy_runner.errors import RunFolderError
from comfy_runner.store.lease import Lease, LeaseRecord, is_live, newest_lease
from comfy_runner.store.local import write_spool
from comfy_runner.store.remote import RemoteStore
from tests.s3 import S3Server, Times, proxy

_HOLDER = """
import sys
from pathlib import Path
from comfy_runner.store.lease import Lease
from comfy_runner.store.local import write_spool
from comfy_runner.store.remote import RemoteStore
url, spool, seconds = sys.argv[1:]
store = RemoteStore(url, spool=Path(spool))
lease = Lease(store, "first", seconds=float(seconds))
print("held", flush=True)
sys.stdin.readline()
try:
    store.put([write_spool(store, "lake/a.png", [b"of the first"])])
    print("put", flush=True)
except Exception as error:
    print(error, flush=True)
"""


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4()}/run"


def _store(url: str, folder: Path) -> RemoteStore:
    return RemoteStore(url, spool=folder / "spool", retry_seconds=1.0)


def test_a_lease_that_is_held_turns_others_away_and_says_who_holds_it(url: str, tmp_path: Path) -> None:
    held = Lease(_store(url, tmp_path), "first")
    other = _store(url, tmp_path)

    with pytest.raises(RunFolderError, match=rf"{url}: is used by another comfy-runner: process {os.getpid()} on ") as caught:
        Lease(other, "second")

    assert "wait 90 s" in caught.value.problems[0].hint
    latest = newest_lease(other)
    assert latest is not None
    assert (latest.number, is_live(other, latest), latest.holder.pid) == (1, True, os.getpid())
    held.close()


def test_who_gives_it_up_leaves_the_next_number_to_the_next(url: str, tmp_path: Path) -> None:
    store = _store(url, tmp_path)
    first = Lease(store, "first")
    first.close()
    first.close()
    second = Lease(_store(url, tmp_path), "second")

    assert (first.number, second.number) == (1, 2)
    assert second.before is not None
    assert (second.before.folder, second.before.released) == ("first", True)
    assert [key for key in store.list() if "clock" not in key] == [".lease/00000002.json"]
    second.close()


def test_that_of_a_process_of_the_same_folder_is_over_for_who_has_locked_that(url: str, tmp_path: Path) -> None:
    killed = Lease(_store(url, tmp_path), "first")
    store = _store(url, tmp_path)

    again = Lease(store, "first")

    assert again.number == killed.number + 1
    store.put([write_spool(store, "lake/a.png", [b"1"])])
    again.close()


def test_one_that_is_not_renewed_runs_out(url: str, tmp_path: Path) -> None:
    store = _store(url, tmp_path)
    record = LeaseRecord(7, "gone", seconds=0.2)
    store.overwrite(record.key, record.to_bytes())
    time.sleep(0.3)

    assert not is_live(store, record)
    assert Lease(store, "second").number == 8


def test_one_that_is_renewed_does_not(url: str, tmp_path: Path) -> None:
    held = Lease(_store(url, tmp_path), "first", seconds=0.4)
    time.sleep(0.6)

    with pytest.raises(RunFolderError, match="is used by another"):
        Lease(_store(url, tmp_path), "second")
    held.close()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"folder": 1}', b"\xff"])
def test_a_lease_that_makes_no_sense_holds_until_it_runs_out(url: str, tmp_path: Path, content: bytes) -> None:
    store = _store(url, tmp_path)
    store.overwrite(".lease/00000003.json", content)
    store.overwrite(".lease/notes.txt", b"others put anything anywhere")

    with pytest.raises(RunFolderError, match="is used by another comfy-runner"):
        Lease(store, "second")


def test_of_many_who_take_it_at_a_time_one_gets_it(s3: S3Server, tmp_path: Path) -> None:
    url = f"s3://{s3.bucket()}/runs/x"

    def take(number: int) -> Lease | None:
        try:
            return Lease(_store(url, tmp_path), f"folder {number}")
        except RunFolderError:
            return None

    with ThreadPoolExecutor(8) as pool:
        taken = [lease for lease in pool.map(take, range(8)) if lease is not None]

    assert len(taken) == 1
    taken[0].close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGSTOP")
def test_a_holder_that_was_stopped_for_so_long_that_another_followed_it_writes_nothing_more(s3: S3Server, tmp_path: Path) -> None:
    url, seconds = f"s3://{s3.bucket()}/runs/x", 3.0
    command = [sys.executable, "-c", _HOLDER, url, str(tmp_path / "spool"), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGSTOP)
        store = _store(url, tmp_path)
        lease = None
        while lease is None:
            try:
                lease = Lease(store, "second")
            except RunFolderError:
                time.sleep(0.2)
        store.put([write_spool(store, "lake/a.png", [b"of the second"])])
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate("go on\n", timeout=240)

    assert f"{url}: is used by another comfy-runner: process {os.getpid()} on " in out
    with store.open("lake/a.png") as file:
        assert file.read() == b"of the second"
    lease.close()


def test_a_store_that_knows_no_conditions_is_told_apart_by_what_is_there(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy(s3) as before:
        monkeypatch.setenv("AWS_ENDPOINT_URL", before.as_server.url)
        before.responding.append(
            Times(lambda handler, _body: "If-None-Match" in handler.headers and handler.refuse(501, "NotImplemented"), left=-1)
        )
        url = f"s3://{s3.bucket()}/runs/x"
        held = Lease(_store(url, tmp_path), "first")
        with pytest.raises(RunFolderError, match="is used by another comfy-runner"):
            Lease(_store(url, tmp_path), "second")
        held.close()
