"""Baselines in a store: what is done with one in a folder, and two that write at a time."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import pytest
from PIL import Image

from comfy_runner import api
from comfy_runner.baseline.folder import FILE, read_baseline
from comfy_runner.baseline.renewing import renewing
from comfy_runner.baseline.update import update_baseline
from comfy_runner.config import Config
from comfy_runner.errors import InputError
from comfy_runner.store.local import write_spool
from comfy_runner.store.registry import local_part, open_store
from tests.baseline.support import painted, repaint, run_of
from tests.running.support import rendered
from tests.standin import StandIn


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_RUNNER_STATE", str(tmp_path / "state"))


@pytest.fixture
def url() -> str:
    """Where the baseline is to be."""
    return f"memory://{uuid.uuid4()}/pictures/baseline"


def _keys(url: str) -> list[str]:
    return [key for key in open_store(url).list() if not key.startswith(".")]


def _contents(url: str) -> dict[str, bytes]:
    store, found = open_store(url), {}
    for key in _keys(url):
        with store.open(key) as file:
            found[key] = file.read()
    return found


def test_it_is_what_one_in_a_folder_is(url: str, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")

    made = update_baseline(run, url)
    update_baseline(run, tmp_path / "base")

    files = {path.relative_to(tmp_path / "base").as_posix(): path.read_bytes() for path in (tmp_path / "base").rglob("*.*")}
    assert _contents(url) == files
    assert (made.added, made.folder) == (("lake-s1", "lake-s2"), local_part(url))
    assert update_baseline(run, url).unchanged == ("lake-s1", "lake-s2")
    assert not list((tmp_path / "state").rglob("*.webp"))


def test_a_run_is_held_against_it_and_what_it_lacks_is_added(url: str, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    update_baseline(run, url, only=["*-s1"])
    repaint(run, "lake-s1", "upscaled", painted(run, "lake-s1"))

    found = api.check_run(run, baseline=url, write_missing=True, config=Config())

    assert [job.outcome for job in found.jobs] == ["failed", "passed"]
    likeness = {(job.job_id, each.role): each.likeness.value for job in found.jobs for each in job.comparisons}
    assert likeness[("lake-s1", "upscaled")] == "different"
    assert likeness[("lake-s2", "upscaled")] == "written"
    with Image.open(run / found.jobs[0].comparisons[-1].expected) as picture:
        assert picture.size == painted(run, "lake-s1").size
    assert set(read_baseline(local_part(url)).jobs) == {"lake-s1", "lake-s2"}
    assert update_baseline(run_of(tmp_path / "one", {"seed": [1]}), url, prune=True).removed == ("lake-s2",)
    assert not any("lake-s2" in key for key in _keys(url))


def test_a_run_at_a_url_is_held_against_one_at_another(server: StandIn, url: str) -> None:
    run = f"{url}-run"
    rendered(server, run)
    update_baseline(run, url)

    found = api.check_run(run, baseline=url, config=Config())

    assert [(job.outcome, {each.likeness.value for each in job.comparisons}) for job in found.jobs] == [("passed", {"same"})]
    for place in (run, local_part(run)):
        with pytest.raises(InputError, match="is a run folder, so it cannot be a baseline"):
            update_baseline(run, place)


def test_who_comes_second_waits_and_loses_nothing_of_the_first(url: str, tmp_path: Path) -> None:
    run, other = run_of(tmp_path / "run", {"seed": [1]}), run_of(tmp_path / "other", {"seed": [2]})
    waiting = threading.Thread(target=update_baseline, args=(run, url))
    with renewing(local_part(url)):
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        assert _keys(url) == []
    update_baseline(other, url)
    waiting.join()

    assert set(read_baseline(local_part(url)).jobs) == {"lake-s1", "lake-s2"}


def test_a_damaged_one_is_refused(url: str) -> None:
    store = open_store(url)
    store.put([write_spool(store, FILE, [b"{"])])

    with pytest.raises(InputError, match=rf"{url}/{FILE}: is damaged"):
        read_baseline(local_part(url))
