"""The lease of a run at a URL: of all machines that can reach it, one at a time writes there.

Below the URL lie numbered objects, ``.lease/00000001.json``. Whoever has created the one with the highest number holds the lease.
Creating is a conditional request, so that of several who try at a time one succeeds. The holder writes its object anew, four times
in `LEASE_SECONDS`; one that was not for that long is of a process that is gone, and the next number may be taken. All times are the
store's own, so that the clocks of machines do not matter.

A holder that was stopped for that long may be followed by another without knowing. So it looks before it changes anything, once
its last renewal is too old, and gives up where it has lost the lease.

The last number tells readers, too, whether the ledger that they have of an earlier one is still good (`refresh`).
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
import uuid
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from comfy_runner._version import __version__
from comfy_runner.errors import ComfyRunnerError, RunFolderError
from comfy_runner.store.interface import ArtifactStore
from comfy_runner.store.lock import Holder
from comfy_runner.store.remote import RemoteStore, unguarded
from comfy_runner.store.sidecar import UNREADABLE
from comfy_runner.wording import now

LEASE_SECONDS: Final = 90.0
"""How long a lease holds that is not renewed."""

CLOSING_SECONDS: Final = 5.0
"""How long a store that does not answer may keep a process from its end, at each of its steps."""

_FOLDER = ".lease"
_RENEWALS = 4  # within that time
_SURE = 2 / 3  # of that time a holder is sure that nobody has followed it
_MOST_BYTES = 4096


class LeaseTaken(RunFolderError):
    """Another process holds the lease."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What an object of the store says of a lease.

    Attributes:
        number: Of the lease; each has a higher one than those before it.
        folder: The id of the local part that its run has on the machine of its holder.
        holder: The process, as far as it is known.
        released: Whether it has ended in order.
        nonce: Makes the content unlike that of anybody else.
        seconds: How long it holds unless it is renewed.
    """

    number: int
    folder: str = ""
    holder: Holder = field(default_factory=Holder)
    released: bool = False
    nonce: str = ""
    seconds: float = LEASE_SECONDS

    @property
    def key(self) -> str:
        """The key of its object."""
        return f"{_FOLDER}/{self.number:08}.json"

    def to_bytes(self) -> bytes:
        """Return the content of its object."""
        return (json.dumps({"format": 1, **asdict(self), "renewed": now()}) + "\n").encode()


def newest_lease(store: ArtifactStore) -> LeaseRecord | None:
    """Return the last lease of a run, whether it is over or not; None where nobody ever had one.

    Raises:
        RunFolderError: The store cannot be read.
    """
    keys = [key for key in store.list(f"{_FOLDER}/") if _number(key)]
    for key in reversed(keys):
        with contextlib.suppress(FileNotFoundError):  # taken away by the next holder just now
            return _read(store, key)
    return None


def is_leased(store: ArtifactStore, *, below: str = "") -> bool:
    """Return whether anybody ever had a lease: whether a run of ours lies there.

    Args:
        store: Where.
        below: What keys there begin with, such as ``shard-3-of-8/``.

    Raises:
        RunFolderError: The store cannot be read.
    """
    return any(_number(key.removeprefix(below)) for key in store.list(f"{below}{_FOLDER}/"))


def is_live(store: RemoteStore, record: LeaseRecord) -> bool:
    """Return whether a lease still holds, by the times that the store gives to objects.

    Raises:
        RunFolderError: The store cannot be read.
    """
    if record.released:
        return False
    renewed = store.stat(record.key)
    if renewed is None:
        return False
    return _time_of(store) - renewed.modified_ns < record.seconds * 1e9


def _time_of(store: RemoteStore) -> int:
    """Return what time it is by the store's clock, which an object says that is put now; by ours for whoever may only read."""
    probe = f"{_FOLDER}/clock-{uuid.uuid4()}"
    with contextlib.suppress(RunFolderError):
        store.create(probe, probe.encode())
        try:
            found = store.stat(probe)
        finally:
            store.remove(probe)
        if found is not None and found.modified_ns:
            return found.modified_ns
    return time.time_ns()


class Lease:
    """A lease that this process holds, and renews in a thread until it is closed.

    Args:
        store: Where. Nothing is changed there any more once the lease is lost: this is what its `guard` sees to until the end.
        folder: The id of this machine's local part of the run, which this process has locked: a lease that it had is over.
        seconds: How long it holds unless it is renewed.
        before: The last one, where the caller has just asked for it; None to ask for it here.

    Attributes:
        before: The last one before it; None where there was none.
        number: Its number.

    Raises:
        LeaseTaken: Another process holds one.
        RunFolderError: The store cannot be read or written.
    """

    def __init__(
        self, store: RemoteStore, folder: str, *, seconds: float = LEASE_SECONDS, before: LeaseRecord | None = None
    ) -> None:
        self._store = store
        self.before = before or newest_lease(store)
        if self.before is not None and self.before.folder != folder and is_live(store, self.before):
            raise _taken(store, self.before)
        self.number = self.before.number + 1 if self.before else 1
        me = Holder(os.getpid(), platform.node(), now(), __version__)
        self._record = LeaseRecord(self.number, folder, me, nonce=str(uuid.uuid4()), seconds=seconds)
        self._renewed = time.monotonic()
        is_mine = store.create(self._record.key, self._record.to_bytes())
        known = list(store.list(f"{_FOLDER}/"))
        if not is_mine or max(map(_number, known), default=0) != self.number:
            if is_mine:
                store.remove(self._record.key)
            raise _taken(store, newest_lease(store) or LeaseRecord(self.number))
        self._lost: RunFolderError | None = None
        self._lock, self._ended = threading.Lock(), threading.Event()
        for key in known:
            if key != self._record.key:
                store.remove(key)
        store.guard = self.require
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def require(self) -> None:
        """Make sure that the lease is held; where that is not known, the store is asked.

        Raises:
            RunFolderError: It is lost, or the store does not answer.
        """
        if self._lost is None and time.monotonic() - self._renewed > self._record.seconds * _SURE:
            self.renew()
        if self._lost is not None:
            raise self._lost

    def renew(self) -> None:
        """Renew it, unless it is lost.

        Raises:
            RunFolderError: The store does not answer.
        """
        with self._lock:
            began = time.monotonic()
            latest = newest_lease(self._store)
            if latest is None or latest.nonce != self._record.nonce:
                self._lost = _taken(self._store, latest or LeaseRecord(0))
                return
            self._store.overwrite(self._record.key, self._record.to_bytes())
            self._renewed = began

    def close(self) -> None:
        """Give it up; once is enough. Where the store does not answer, it runs out by itself."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._store.retry_seconds = CLOSING_SECONDS
        self._thread.join(CLOSING_SECONDS)
        with contextlib.suppress(ComfyRunnerError):
            self.require()
            self._store.overwrite(self._record.key, replace(self._record, released=True).to_bytes())
        if self._lost is None:
            self._store.guard = unguarded

    def _keep(self) -> None:
        while not self._ended.wait(self._record.seconds / _RENEWALS) and self._lost is None:
            # Whoever writes next finds out.
            with contextlib.suppress(ComfyRunnerError):
                self.renew()


def _taken(store: RemoteStore, record: LeaseRecord) -> LeaseTaken:
    who = str(record.holder)
    what = f"is used by another comfy-runner{': ' if who else ''}{who}"
    hint = f"wait for it, end it there, or choose another folder with --out; if it was killed, wait {record.seconds:g} s"
    return LeaseTaken(what, where=store.address, hint=hint)


def _number(key: str) -> int:
    """Return the number in the key of a lease; 0 for what is none."""
    digits = key.removeprefix(f"{_FOLDER}/").removesuffix(".json")
    return int(digits) if digits.isascii() and digits.isdecimal() else 0


def _read(store: ArtifactStore, key: str) -> LeaseRecord:
    """Return a lease; of one that makes no sense, its number alone, for that is what counts."""
    with store.open(key) as file:
        content = file.read(_MOST_BYTES)
    with contextlib.suppress(*UNREADABLE):
        found: dict[str, Any] = json.loads(content)
        holder = Holder(**found["holder"])
        str(holder)
        released, seconds = found["released"] is True, float(found["seconds"])
        return LeaseRecord(_number(key), str(found["folder"]), holder, released, str(found["nonce"]), seconds)
    return LeaseRecord(_number(key))
