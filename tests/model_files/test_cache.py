"""The cache: its limit, what is in use, and the links that lead to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfy_runner.errors import ModelError
from comfy_runner.model_files.cache import ModelCache
from comfy_runner.model_files.fetch import fetch
from comfy_runner.model_files.hosts import Hosts
from comfy_runner.model_files.model_file import ModelFile
from comfy_runner.model_files.model_links import link, link_state, place_of
from tests.model_files.support import model, safetensors

_SIZE = 1000


@pytest.fixture
def files(tmp_path: Path) -> list[ModelFile]:
    """Four models of this machine, a little more than 1000 bytes each."""
    found = []
    for number in range(4):
        content = safetensors(_SIZE, seed=number)
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(content)
        found.append(model(str(path), content, name=f"sub/{number}.safetensors"))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def cache(folder: Path) -> Iterator[ModelCache]:
    made = ModelCache(folder, 4 * _SIZE)
    yield made
    made.close()


def _had(folder: Path, *wanted: ModelFile, limit: int = 4 * _SIZE, days_ago: int = 0) -> None:
    """Have models been fetched by a process that has ended."""
    cache = ModelCache(folder, limit)
    fetch(wanted, cache, Hosts())
    cache.close()
    for each in wanted:
        note = cache.folder_of(each.sha256) / "note.json"
        then = note.stat().st_mtime - days_ago * 86400
        os.utime(note, (then, then))


def _names(cache: ModelCache) -> list[str]:
    return [name for model in cache.models() for name in model.names]


def test_what_was_used_least_recently_goes_first(folder: Path, files: list[ModelFile], cache: ModelCache) -> None:
    _had(folder, files[0], days_ago=1)
    _had(folder, files[1], days_ago=3)
    _had(folder, files[2], days_ago=2)
    _had(folder, files[0], days_ago=1)

    fetch([files[3]], cache, Hosts())

    assert _names(cache) == ["sub/3.safetensors", "sub/0.safetensors", "sub/2.safetensors"]


def test_using_one_makes_it_recent(folder: Path, files: list[ModelFile], cache: ModelCache) -> None:
    _had(folder, files[0], days_ago=9)
    _had(folder, files[1], days_ago=3)

    fetch([files[0]], cache, Hosts())

    assert _names(cache) == ["sub/0.safetensors", "sub/1.safetensors"]


def test_one_that_is_in_use_never_goes(folder: Path, files: list[ModelFile], cache: ModelCache) -> None:
    other = ModelCache(folder, 4 * _SIZE)
    fetch(files[:3], other, Hosts())
    assert [each.in_use for each in cache.models()] == [True] * 3

    with pytest.raises(ModelError, match="does not fit") as caught:
        fetch([files[3]], cache, Hosts())
    assert "raise models.cache_size" in caught.value.problems[0].hint
    assert not any(map(cache.remove, (each.sha256 for each in files[:3])))
    assert len(_names(cache)) == 3

    other.close()
    fetch([files[3]], cache, Hosts())
    assert len(_names(cache)) == 3


def test_one_that_is_larger_than_the_cache_has_no_room(folder: Path, files: list[ModelFile]) -> None:
    with pytest.raises(ModelError, match="does not fit into the cache"):
        fetch([files[0]], ModelCache(folder, 500), Hosts())


def test_what_was_left_half_done_makes_room(files: list[ModelFile], cache: ModelCache) -> None:
    part = cache.folder_of("0" * 64) / "part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(3 * _SIZE))
    assert [(each.is_whole, each.size_bytes) for each in cache.models()] == [(False, 3 * _SIZE)]

    fetch(files[:1], cache, Hosts())

    assert _names(cache) == ["sub/0.safetensors"]


def test_a_link_leads_to_the_file_and_goes_with_it(files: list[ModelFile], cache: ModelCache, models: Path) -> None:
    link(fetch(files[:1], cache, Hosts()), models, cache)
    place = place_of(files[0], models)

    assert place == models / "checkpoints" / "sub" / "0.safetensors"
    assert place.read_bytes() == safetensors(_SIZE, seed=0)
    assert link_state(files[0], models, cache) == "whole"
    assert [path.name for path in place.parent.iterdir()] == ["0.safetensors"]

    cache.close()
    assert cache.remove(files[0].sha256)
    assert not place.is_symlink()
    assert link_state(files[0], models, cache) == "none"


def test_removing_takes_no_file_of_others(files: list[ModelFile], cache: ModelCache, models: Path) -> None:
    link(fetch(files[:1], cache, Hosts()), models, cache)
    place = place_of(files[0], models)
    place.unlink()
    place.write_bytes(b"mine")

    cache.close()
    assert cache.remove(files[0].sha256)
    assert place.read_bytes() == b"mine"


def test_a_link_that_leads_nowhere_is_made_anew(files: list[ModelFile], cache: ModelCache, models: Path, tmp_path: Path) -> None:
    link(fetch(files[:1], cache, Hosts()), models, cache)
    cache.folder.rename(tmp_path / "away")
    assert link_state(files[0], models, cache) == "broken"
    other = ModelCache(cache.folder, 4 * _SIZE)

    link(fetch(files[:1], other, Hosts()), models, other)

    assert place_of(files[0], models).read_bytes() == safetensors(_SIZE, seed=0)
    other.close()


def test_a_name_never_comes_to_mean_another_file(files: list[ModelFile], cache: ModelCache, models: Path) -> None:
    link(fetch(files[:1], cache, Hosts()), models, cache)
    content = safetensors(_SIZE, seed=1)
    other = model(files[1].source, content, name=files[0].name, where="lake.yaml:3: models")

    with pytest.raises(ModelError) as caught:
        link(fetch([other], cache, Hosts()), models, cache)

    assert str(caught.value) == (
        f"lake.yaml:3: models: sub/0.safetensors is already another file there, with the sha256 {files[0].sha256}"
    )
    assert place_of(files[0], models).read_bytes() == safetensors(_SIZE, seed=0)


def test_a_file_of_the_users_own_is_not_replaced(files: list[ModelFile], cache: ModelCache, models: Path) -> None:
    place = place_of(files[0], models)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")

    with pytest.raises(ModelError, match="already exists, and does not belong to the cache"):
        link(fetch(files[:1], cache, Hosts()), models, cache)

    assert place.read_bytes() == b"mine"


def test_what_is_damaged_in_the_cache_is_no_hindrance(folder: Path, files: list[ModelFile], cache: ModelCache) -> None:
    _had(folder, files[0])
    folder_of = cache.folder_of(files[0].sha256)
    (folder / "stray").write_bytes(b"x")
    (folder / "1234").mkdir()
    for damaged in (b"", b"{", b"[]", b'{"names": 7, "links": [7], "source": []}'):
        (folder_of / "note.json").write_bytes(damaged)
        assert [each.size_bytes for each in cache.models()] == [files[0].sizes[0] if files[0].sizes else 0]
        assert fetch(files[:1], cache, Hosts())
    cache.close()
    assert cache.remove(files[0].sha256)


def test_its_folder_is_named_by_a_checksum_alone(cache: ModelCache) -> None:
    for name in ("../x", "", "A" * 64, "0" * 63):
        with pytest.raises(ValueError, match="not a SHA-256"):
            cache.folder_of(name)
