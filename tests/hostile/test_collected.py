"""Files that a server names: whatever it calls them, nothing is written outside the run folder, or over what is ours there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from comfy_runner.collect.collector import collect_job
from comfy_runner.engine.comfyui.address import parse_address
from comfy_runner.engine.comfyui.client import ComfyHttp
from comfy_runner.engine.comfyui.server_files import ServerFiles
from comfy_runner.engine.interface import JobToCollect
from comfy_runner.engine.reports import Collected
from comfy_runner.engine.submission import Submission
from comfy_runner.engine.timeouts import Timeouts
from comfy_runner.engine.verdict import Conclusion, ServerFile, Verdict
from comfy_runner.errors import ComfyRunnerError, ServerRefused
from comfy_runner.store.ledger import FILE
from comfy_runner.store.run_folder import RunFolder
from tests.hostile.tally import survives
from tests.hostile.test_pictures import BOMBS
from tests.hostile.values import TEXTS, seeded
from tests.running.support import planned, submitted_job

_SUFFIXES = (
    "",
    ".png",
    ".PNG",
    ".json",
    ".part",
    ".lock",
    ".exe",
    ".p\0ng",
    ".p/ng",
    ".\x1b[2J",
    ".tar.gz",
    ". ",
    ".x" * 200,
    ".png.",
    ".e\u0301",
)


class AnyFile(ComfyHttp):
    """A server that has every file that it is asked for."""

    content = BOMBS["no pixels"]()

    @contextmanager
    def view(self, filename: str, *, subfolder: str, kind: str) -> Iterator[Iterator[bytes]]:
        if filename == "refused":
            raise ServerRefused("no", where=subfolder + kind)
        yield iter([self.content])


def _collected(folder: RunFolder, *files: ServerFile, content: bytes = b"") -> Collected | ComfyRunnerError:
    job = planned()
    http = AnyFile(parse_address("http://127.0.0.1:1"))
    http.content = content or http.content
    verdict = Verdict(Conclusion.SUCCEEDED, dict.fromkeys(job.workflow.outputs.values(), files), (), None, None)
    submission, source = Submission.of("id", [submitted_job(job)]), ServerFiles(http, Timeouts(outage=0.0, repost=()))
    wanted = JobToCollect(job.job_id, {})
    return survives(
        "server file names", lambda: collect_job(source, folder, submission, verdict, wanted, prompt_id="id", server={})
    )


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_a_file_of_any_name_lands_where_the_recipe_wants_it(tmp_path: Path, first: int) -> None:
    folder = RunFolder(tmp_path / "run")
    for seed in range(first, first + 20):
        with seeded(seed) as dice:
            names = [dice.choice(TEXTS) + dice.choice(_SUFFIXES) for _ in range(3)]
            files = [ServerFile(name or "x", dice.choice(TEXTS), dice.choice(("output", "temp", *TEXTS))) for name in names]
            found = _collected(folder, *files)
            assert isinstance(found, Collected)
            for records in found.files.values():
                assert all(
                    record.path.startswith("lake/") and len(record.path) < 60 and record.path.isascii() for record in records
                )
    folder.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]
    assert {entry.name for entry in (tmp_path / "run").iterdir()} <= {"lake", "superseded", ".lock", FILE}
    assert not list((tmp_path / "run").rglob(".*.part"))


@pytest.mark.parametrize("name", ["job.json", "x.json", "../run.json", "run.json", ".lock", "original.json"])
def test_no_file_of_a_server_replaces_one_of_ours(tmp_path: Path, name: str) -> None:
    folder = RunFolder(tmp_path / "run")
    found = _collected(folder, ServerFile(name, "", "output"), content=b'{"format": 99}')
    sidecar = folder.sidecar("lake")
    folder.close()
    assert isinstance(found, Collected)
    assert sidecar is None or sidecar.job_id == "lake"
