"""Pictures that are the same, or can hardly be told apart, are found; pictures that only look alike from afar are not."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image, ImageChops, ImageFilter

from comfy_runner.errors import VerificationError
from comfy_runner.report.near_copies import Fingerprint, find_near_copies, fingerprint

SIZE = (128, 72)


def noise(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    draw = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    return Image.frombytes("RGB", size, draw.randbytes(3 * size[0] * size[1]))


def smooth(seed: int) -> Image.Image:
    return noise(seed).filter(ImageFilter.GaussianBlur(4))


def likeness(pictures: dict[str, Image.Image], groups: list[list[str]] | None = None) -> tuple[dict[str, str], dict[str, str]]:
    prints = {job_id: fingerprint(picture) for job_id, picture in pictures.items()}
    return find_near_copies(prints, groups or [list(pictures)], pictures.__getitem__)


def test_equal_pixels_are_found_in_any_group_and_the_first_has_no_twin() -> None:
    found = likeness({"a": noise(1), "b": noise(2), "c": noise(1)}, [["a", "b"], ["c"]])

    assert found == ({"c": "a"}, {})


def test_a_picture_that_differs_by_one_step_in_places_is_close() -> None:
    base = smooth(1)
    nudged = ImageChops.add(base, noise(2).point(lambda value: value // 128))

    assert likeness({"a": base, "b": nudged}) == ({}, {"b": "a"})


def test_other_detail_under_the_same_composition_is_not_close() -> None:
    base = smooth(1)
    detailed = Image.blend(base, noise(3), 0.08)

    assert fingerprint(base).small != fingerprint(noise(4)).small
    assert likeness({"a": base, "b": detailed, "c": Image.blend(base, noise(5), 0.08)}) == ({}, {})


def test_colours_that_a_file_keeps_half_as_finely_are_close_and_light_is_not() -> None:
    checker = Image.new("L", (2, 1))
    checker.putpixel((1, 0), 255)
    pattern = checker.resize((2, 2), Image.Resampling.NEAREST)
    mask = Image.new("L", SIZE)
    for left in range(0, SIZE[0], 2):
        for top in range(0, SIZE[1], 2):
            mask.paste(pattern, (left, top))
    grey = Image.new("YCbCr", SIZE, (120, 128, 128))
    red = Image.composite(Image.new("YCbCr", SIZE, (120, 128, 136)), Image.new("YCbCr", SIZE, (120, 128, 120)), mask)
    light = Image.composite(Image.new("YCbCr", SIZE, (124, 128, 128)), Image.new("YCbCr", SIZE, (116, 128, 128)), mask)
    same = Image.composite(Image.new("YCbCr", SIZE, (120, 128, 132)), Image.new("YCbCr", SIZE, (120, 128, 124)), mask)

    assert likeness({"a": grey.convert("RGB"), "b": same.convert("RGB")}) == ({}, {"b": "a"})
    assert likeness({"a": grey.convert("RGB"), "b": red.convert("RGB"), "c": light.convert("RGB")}) == ({}, {})


def test_pictures_of_other_sizes_are_not_close() -> None:
    assert likeness({"a": Image.new("RGB", (64, 36), "red"), "b": Image.new("RGB", (66, 36), "red")}) == ({}, {})


def test_close_pictures_of_different_groups_are_not_compared() -> None:
    base = smooth(1)
    nudged = ImageChops.add(base, noise(2).point(lambda value: value // 128))

    assert likeness({"a": base, "b": nudged}, [["a"], ["b"]]) == ({}, {})


def test_each_of_many_that_look_alike_from_afar_is_read_once() -> None:
    base = smooth(1)
    prints = {str(number): Fingerprint(str(number), SIZE, fingerprint(base).small) for number in range(20)}
    read: list[str] = []

    def reader(job_id: str) -> Image.Image:
        read.append(job_id)
        return noise(int(job_id))

    assert find_near_copies(prints, [list(prints)], reader) == ({}, {})
    assert sorted(read) == sorted(prints)


def test_a_jpeg_of_high_quality_is_close_to_what_it_was_made_of() -> None:
    base = Image.blend(smooth(1), noise(2).convert("L").convert("RGB"), 0.1)
    buffer = io.BytesIO()
    base.save(buffer, "JPEG", quality=95)

    assert likeness({"a": base, "b": Image.open(buffer)}) == ({}, {"b": "a"})


def test_all_that_are_close_name_the_first_and_small_steps_do_not_add_up() -> None:
    base = smooth(1)
    steps = {str(number): Image.blend(base, noise(2), 0.02 * number) for number in range(5)}
    _, close = likeness(steps)

    assert close["1"] == "0"
    assert set(close.values()) <= {"0", "2", "3"}
    assert "4" not in {job_id for job_id, first in close.items() if first == "0"}


def test_pictures_of_other_numbers_are_not_close() -> None:
    base = smooth(1)
    nudged = ImageChops.add(base, noise(2).point(lambda value: value // 128))
    pictures = {"a": base, "b": nudged, "c": ImageChops.add(base, noise(3).point(lambda value: value // 128))}
    prints = {job_id: fingerprint(picture) for job_id, picture in pictures.items()}

    _, close = find_near_copies(prints, [list(pictures)], pictures.__getitem__, alike=lambda one, other: "b" not in (one, other))

    assert close == {"c": "a"}


def test_a_picture_that_is_gone_meanwhile_is_like_none() -> None:
    prints = {name: Fingerprint(name, SIZE, fingerprint(smooth(1)).small) for name in "ab"}

    def gone(_job_id: str) -> Image.Image:
        raise VerificationError("is gone")

    assert find_near_copies(prints, [["a", "b"]], gone) == ({}, {})


def test_a_fingerprint_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="16x16"):
        Fingerprint("0", SIZE, "00")
