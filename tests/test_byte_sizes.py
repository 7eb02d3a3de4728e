from __future__ import annotations

import pytest

from comfy_runner.byte_sizes import size_in_bytes, sizes_of, told_size


@pytest.mark.parametrize(
    ("size", "least", "most"),
    [
        (7, 7, 7),
        ("7 B", 7, 7),
        ("6.94 GB", 6_935_000_000, 6_945_000_000),
        ("2GB", 1_500_000_000, 2_500_000_000),
        ("6.46 GiB", int(6.455 * 2**30), int(6.465 * 2**30)),
        ("1.0 TB", 950_000_000_000, 1_050_000_000_000),
    ],
)
def test_a_size_means_all_that_is_written_so(size: int | str, least: int, most: int) -> None:
    assert (sizes_of(size)[0], sizes_of(size)[-1]) == (least, most)


def test_the_same_file_in_both_units() -> None:
    assert 6_938_078_334 in sizes_of("6.94 GB")
    assert 6_938_078_334 in sizes_of("6.46 GiB")
    assert 6_938_078_334 not in sizes_of("6.46 GB")


def test_a_limit_is_what_is_written() -> None:
    assert [size_in_bytes(size) for size in (9, "200 GB", "1 MiB", "1.5 KB")] == [9, 200_000_000_000, 1 << 20, 1500]


@pytest.mark.parametrize("size", [None, 1.5, True, [], "", "GB", "-1 GB", "1e3 GB", 0, "0 GB"])
def test_what_is_no_size(size: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        size_in_bytes(size)


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 KB"),
        (12_345, "12.3 KB"),
        (999_600, "1.00 MB"),
        (6_938_078_334, "6.94 GB"),
        (335_000_000, "335 MB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_told(count: int, told: str) -> None:
    assert told_size(count) == told
