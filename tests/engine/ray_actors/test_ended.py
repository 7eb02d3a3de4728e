"""What a run on Ray has left in its ledger when it was killed: its actors have ended with it, and nothing of them can be asked."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from comfy_runner.config import Config
from comfy_runner.control.cancel import cancel
from comfy_runner.engine.comfyui.address import Address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.registry import connect
from comfy_runner.engine.submission import Submission
from comfy_runner.errors import Unreachable
from comfy_runner.graph.object_info import ObjectInfo
from comfy_runner.planning.capabilities import capabilities_of
from comfy_runner.running.prepare import Preparer
from comfy_runner.store.run_folder import RunFolder
from comfy_runner.store.status import status
from tests.running.support import Room
from tests.standin import StandIn

_URL = "ray://north/GPU-0"


def test_what_it_was_given_can_be_cancelled(server: StandIn, tmp_path: Path) -> None:
    room, key = Room(tmp_path / "out", "lake"), str(uuid.uuid4())
    info = ObjectInfo(ComfyHttp(Address(server.url)).object_info(), source=server.url)
    job = Preparer(room.folder, capabilities_of(room.drafts, info)).prepare(room.drafts[0], prompt_id=key).job
    submission = Submission.of(key, [job])
    room.folder.ledger.submit(key, server=_URL, text=submission.to_text(), job_ids=submission.job_ids)
    room.folder.close()

    found = cancel(tmp_path / "out", config=Config())

    assert found.errors == ()
    assert found.ended.keys() <= {"lake"}
    assert status(tmp_path / "out").submissions == ()
    folder = RunFolder(tmp_path / "out")
    assert folder.ledger.open_submissions() == []
    folder.close()


def test_it_is_none_to_render_on() -> None:
    with pytest.raises(Unreachable, match="Ray actors end with their run") as caught:
        connect(_URL, Config()).object_info()
    assert "--ray ADDRESS" in caught.value.problems[0].hint
