"""Pictures made to fit into a page: all alike, as good as the room allows, never more than it."""

from __future__ import annotations

import io
import itertools
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from comfy_runner.errors import UsageError
from comfy_runner.report.page.embedding import _STEPS, EmbeddedPicture, PictureFile, Step, _all, _reduced, embed
from comfy_runner.report.page.thumbnails import LONG_SIDE
from comfy_runner.store.interface import Artifact
from comfy_runner.store.local import LocalStore

_KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}


def _source(folder: Path, name: str, picture: Image.Image | None = None, thumbnail: str = "") -> PictureFile:
    """Return a picture of noise, or the one that is given, with its thumbnail."""
    if picture is None:
        seed = sum(name.encode())
        picture = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 336, 3), dtype=np.uint8))
    picture.save(folder / name)
    small = folder / (thumbnail or f"{name}.webp")
    picture.resize((320, 30)).save(small)
    return PictureFile(Artifact(LocalStore(folder), name), small)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> list[PictureFile]:
    folder = tmp_path_factory.mktemp("noise")
    return [_source(folder, f"{number}.png") for number in range(17)]


def _room(pictures: list[EmbeddedPicture]) -> int:
    return sum(each.cost for each in pictures)


def _size(picture: EmbeddedPicture) -> tuple[int, int]:
    with Image.open(io.BytesIO(picture.data), formats=["WEBP"]) as image:
        image.load()
        return image.size


def test_where_they_fit_the_very_files_are_taken(tmp_path: Path) -> None:
    sources = [_source(tmp_path, f"a{suffix}") for suffix in _KINDS]

    pictures, step = embed(sources, 10_000_000)

    assert step is None
    assert [each.data for each in pictures] == [(tmp_path / f"a{suffix}").read_bytes() for suffix in _KINDS]
    assert [each.media_type for each in pictures] == list(_KINDS.values())


_Found = dict[int, tuple[list[EmbeddedPicture], Step]]


@pytest.fixture(scope="module")
def found(noise: list[PictureFile]) -> _Found:
    """What becomes of the noise in less and less room."""
    made: _Found = {}
    for room in (240_000, 100_000, 20_000, 11_000):
        pictures, step = embed(noise, room)
        assert step is not None
        made[room] = list(pictures), step
    return made


def test_all_are_alike_within_the_room(found: _Found) -> None:
    for room, (pictures, step) in found.items():
        assert room / 3 < _room(pictures) <= room
        assert {_size(each)[0] for each in pictures} == {min(step.side, 336)}


def test_less_room_makes_them_worse(found: _Found) -> None:
    places = [_STEPS.index(step) for _, step in found.values()]

    assert places == sorted(set(places))


def test_the_next_better_would_not_fit(noise: list[PictureFile], found: _Found) -> None:
    room = 20_000
    better = _STEPS[_STEPS.index(found[room][1]) - 1]

    # Seventeen are told by sixteen of them and a margin, so that one that just fits may be passed over.
    assert _all(noise, partial(_reduced, step=better), room * 0.95) is None


def test_what_few_pictures_did_not_tell_of_the_others_costs_quality_and_not_the_limit(tmp_path: Path) -> None:
    flat = [_source(tmp_path, f"flat{number}.png", Image.new("RGB", (336, 32)), f"0{number}.webp") for number in range(16)]
    busy = [_source(tmp_path, f"{number}.png", thumbnail=f"f{number}.webp") for number in range(10)]

    pictures, step = embed([*flat, *busy], room := 35_000)

    assert step is not None
    assert room / 3 < _room(list(pictures)) <= room
    assert len(pictures) == 26


def test_a_given_quality_is_that_of_all_whatever_their_size(noise: list[PictureFile]) -> None:
    rooms = (10_000_000, 7_000)

    found = [embed(noise[:4], room, quality=35) for room in rooms]

    assert [step and step.quality for _, step in found] == [35, 35]
    assert [_room(list(pictures)) <= room for (pictures, _), room in zip(found, rooms, strict=True)] == [True, True]
    assert _size(found[0][0][0]) == (336, 32)


def test_what_does_not_fit_however_small_is_told_with_what_would(noise: list[PictureFile]) -> None:
    with pytest.raises(UsageError, match="--max-size: is too little for 17 pictures, even at 64 pixels") as caught:
        embed(noise, -500_000)

    assert caught.value.problems[0].hint == "allow 1 MB more"
    assert embed(noise, 170_000)[0]


@pytest.mark.parametrize("room", [10_000_000, 35_000])
def test_a_file_that_goes_meanwhile_costs_only_itself(tmp_path: Path, room: int) -> None:
    sources = [_source(tmp_path, f"{number}.png") for number in range(3)]
    (tmp_path / "0.png").unlink()
    (tmp_path / "0.png.webp").unlink()
    (tmp_path / "1.png").write_bytes(b"<svg onload=alert(1)>")
    (tmp_path / "1.png.webp").write_bytes(b"")

    pictures, _ = embed(sources, room)

    assert [bool(each.data) for each in pictures] == [False, False, True]
    assert {each.media_type for each in pictures} <= set(_KINDS.values())


def test_no_pictures_need_no_room(tmp_path: Path) -> None:
    assert embed([], 0) == ([], None)
    assert list(tmp_path.iterdir()) == []


def test_steps_go_down_in_size_or_in_quality() -> None:
    assert all(one.side >= other.side and one.quality >= other.quality for one, other in itertools.pairwise(_STEPS))
    assert Step(LONG_SIDE, 80) in _STEPS  # as large as thumbnails, of which the lower ones are made
