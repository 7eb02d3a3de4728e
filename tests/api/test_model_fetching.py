"""Models brought to a ComfyUI that is started here, in whose place a stand-in answers; what is refused, what is only foreseen."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from comfy_runner.api.model_fetching import FetchOptions, PlanModels
from comfy_runner.config import Config, LocalConfig
from comfy_runner.engine.comfyui.engine import ComfyUIEngine
from comfy_runner.engine.interface import NamedEngine
from comfy_runner.engine.local.child_process import ProcessRecord, write_record
from comfy_runner.engine.registry import local_options
from comfy_runner.errors import ModelError, UsageError
from comfy_runner.model_settings import ModelsConfig
from comfy_runner.planning.capabilities import check_all
from comfy_runner.planning.draft import Draft
from tests.model_files.support import FileServer, file_server, safetensors, sha256
from tests.running.abandon import http_of
from tests.running.support import plan_of, small
from tests.standin import StandIn

CONTENT = safetensors(size=2000)


@pytest.fixture
def web() -> Iterator[FileServer]:
    with file_server(tiny=CONTENT) as made:
        yield made


def engines_of(server: StandIn) -> list[NamedEngine]:
    return [NamedEngine("local", ComfyUIEngine(http_of(server)))]


def _provide(models: PlanModels, drafts: Sequence[Draft], engines: Sequence[NamedEngine]) -> None:
    models.expect(drafts)
    models.provide(engines)


def _foresee(models: PlanModels, drafts: Sequence[Draft], engines: Sequence[NamedEngine]) -> None:
    models.expect(drafts)
    models.foresee(engines)


class _Local:
    """The settings of one machine, and what was said there."""

    def __init__(self, folder: Path, hosts: tuple[str, ...], server: StandIn) -> None:
        models = ModelsConfig(hosts=hosts, cache=folder / "cache")
        self.config = Config(local=LocalConfig(home=folder / "home"), models=models)
        self.folder = folder / "home" / "models"
        self.said: list[str] = []
        # The stand-in is taken for the ComfyUI that was started here.
        record = local_options(self.config).record
        record.parent.mkdir(parents=True)
        port = int(server.url.rpartition(":")[2])
        write_record(record, ProcessRecord(pid=os.getpid(), created=psutil.Process().create_time(), port=port))

    def models(self, *, fetch: bool = True) -> PlanModels:
        return PlanModels(self.config, FetchOptions(fetch), self.said.append)


@pytest.fixture
def local(web: FileServer, server: StandIn, tmp_path: Path) -> _Local:
    return _Local(tmp_path, (web.url,), server)


def _drafts(web: FileServer, name: str = "new/tiny.safetensors", content: bytes = CONTENT, **more: Any) -> tuple[Draft, ...]:
    source = {"url": f"{web.url}/tiny.safetensors", "sha256": sha256(content), "size": len(content), **more}
    return plan_of(small(checkpoint=name, models={name: source})).drafts


def test_what_is_lacking_is_fetched_and_linked_and_not_again(server: StandIn, web: FileServer, local: _Local) -> None:
    drafts, engines = _drafts(web), engines_of(server)

    for _ in range(2):
        models = local.models()
        _provide(models, drafts, engines)
        models.close()

    assert (local.folder / "checkpoints/new/tiny.safetensors").read_bytes() == CONTENT
    assert web.asked == ["/tiny.safetensors"]
    assert local.said == [f"fetching 1 model (2.07 KB) from {web.url}: new/tiny.safetensors"]


def test_without_leave_it_is_told_what_would_be_fetched(server: StandIn, web: FileServer, local: _Local) -> None:
    with pytest.raises(UsageError) as caught:
        _provide(local.models(fetch=False), _drafts(web), engines_of(server))

    (problem,) = caught.value.problems
    assert problem.what == f"is missing, and would be fetched: 1 model (2.07 KB) from {web.url}: new/tiny.safetensors"
    assert problem.hint == "--fetch-models fetches it"
    assert problem.where.endswith('models."new/tiny.safetensors"')
    assert web.seen == []


def test_from_a_host_that_is_not_allowed_nothing_is_fetched(server: StandIn, web: FileServer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="models may not be fetched from"):
        _provide(_Local(tmp_path, (), server).models(), _drafts(web), engines_of(server))
    assert web.seen == []


def test_what_was_fetched_before_needs_no_leave(server: StandIn, web: FileServer, local: _Local) -> None:
    _provide(local.models(), _drafts(web, name="other.safetensors"), engines_of(server))

    _provide(local.models(fetch=False), _drafts(web), engines_of(server))

    assert (local.folder / "checkpoints/new/tiny.safetensors").read_bytes() == CONTENT
    assert len(web.seen) == 1


def test_what_a_comfyui_has_is_its_own(server: StandIn, web: FileServer, local: _Local) -> None:
    _provide(local.models(fetch=False), _drafts(web, name="SDXL/base.safetensors"), engines_of(server))

    assert web.seen == []
    assert not local.folder.exists()


def test_a_link_that_leads_nowhere_is_lacking_although_it_is_listed(server: StandIn, web: FileServer, local: _Local) -> None:
    name = "tiny-random-sd15.safetensors"
    place = local.folder / "checkpoints" / name
    place.parent.mkdir(parents=True)
    place.symlink_to(local.config.models.cache / sha256(CONTENT) / "model" if local.config.models.cache else "")

    _provide(local.models(), _drafts(web, name=name), engines_of(server))

    assert place.read_bytes() == CONTENT


def test_a_name_that_is_another_file_already_is_refused(server: StandIn, web: FileServer, local: _Local) -> None:
    _provide(local.models(), _drafts(web), engines_of(server))
    web.files["/tiny.safetensors"] = safetensors(size=2000, seed=2)

    with pytest.raises(ModelError, match="is already another file there"):
        _provide(local.models(), _drafts(web, content=web.files["/tiny.safetensors"]), engines_of(server))

    assert (local.folder / "checkpoints/new/tiny.safetensors").read_bytes() == CONTENT


def test_a_plan_counts_as_there_what_a_run_would_fetch(server: StandIn, web: FileServer, local: _Local) -> None:
    drafts, engines = _drafts(web), engines_of(server)

    _foresee(local.models(), drafts, engines)

    assert local.said == [f"a run would first fetch 1 model (2.07 KB) from {web.url}: new/tiny.safetensors"]
    check_all(drafts, engines[0].engine.object_info())
    assert web.seen == []
    with pytest.raises(UsageError, match="is missing, and would be fetched"):
        _foresee(local.models(fetch=False), drafts, engines_of(server))


def test_an_embedding_is_lacking_unless_it_is_there(server: StandIn, web: FileServer, local: _Local) -> None:
    source = {"url": f"{web.url}/tiny.safetensors", "sha256": sha256(CONTENT), "folder": "embeddings"}
    drafts = plan_of(small(models={"bad.safetensors": source})).drafts

    for _ in range(2):
        _provide(local.models(), drafts, engines_of(server))

    assert (local.folder / "embeddings/bad.safetensors").read_bytes() == CONTENT
    assert len(web.seen) == 1


def test_recipes_without_sources_ask_nothing(server: StandIn, local: _Local) -> None:
    models = local.models()
    _provide(models, plan_of(small()).drafts, engines_of(server))
    _foresee(models, plan_of(small()).drafts, engines_of(server))
    models.close()

    assert server.state.asked == []
    assert not (local.config.models.cache or Path()).exists()


def test_nothing_is_brought_to_other_servers(web: FileServer, local: _Local) -> None:
    with StandIn() as other:
        _provide(local.models(), _drafts(web), engines_of(other))

    assert web.seen == []
