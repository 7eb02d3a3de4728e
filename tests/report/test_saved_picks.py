"""Writing ``picks.json``: what is said later is added, nothing is lost, and what comes from outside is checked."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.errors import ComfyRunnerError, InputError
from comfy_runner.report.picked import judged_files
from comfy_runner.report.picks import FILE, Picks, parse_picks
from comfy_runner.report.run_data import Material, read_material
from comfy_runner.report.saved_picks import dumped_picks, merge_picks, save_picks
from tests.report.support import make_run, photo

_EARLIER, _LATER = "2026-11-30T09:00:00Z", "2026-11-30T10:00:00+00:00"
_JOBS = ["lake-d03", "lake-d05"]


@pytest.fixture
def run(tmp_path: Path) -> Material:
    return read_material(make_run(tmp_path / "lake", {"upscale.denoise": [0.3, 0.5]}, photo))


def _file(**said: Any) -> bytes:
    return json.dumps({"format": 1, **said}).encode()


def _picks(**said: Any) -> Picks:
    return parse_picks(_file(**said), where=FILE)


def _saved(run: Material) -> Picks:
    return parse_picks((run.folder / FILE).read_bytes(), where=FILE)


def test_what_was_said_last_of_a_picture_counts_whenever_it_arrives(run: Material) -> None:
    save_picks(run, _file(picks={"lake-d03": {"stars": 5, "at": _LATER}}))
    found = save_picks(run, _file(picks={"lake-d03": {"stars": 1, "at": _EARLIER}, "lake-d05": {"rejected": True, "note": "œil"}}))

    assert found.picks == _saved(run)
    assert {name: pick.grade for name, pick in found.picks.picks.items()} == {"lake-d03": 5, "lake-d05": 0}
    assert _saved(run).picks["lake-d05"].note == "œil"


def test_a_picks_moment_may_lack_its_zone(run: Material) -> None:
    save_picks(run, _file(picks={"lake-d03": {"stars": 5, "at": "2026-11-30T09:30:00"}}))

    assert save_picks(run, _file(picks={"lake-d03": {"stars": 1, "at": _LATER}})).picks.picks["lake-d03"].stars == 1


def test_pairs_are_kept_side_by_side_and_an_answer_can_be_corrected(run: Material) -> None:
    pair: dict[str, str] = dict(zip(("left", "right"), _JOBS, strict=True))
    save_picks(run, _file(pairs=[pair | {"better": "left", "at": _EARLIER}]))
    again = [pair | {"better": "right", "at": _EARLIER}, pair | {"better": "same", "at": _LATER}]

    for _ in range(2):  # sending it twice changes nothing
        found = save_picks(run, _file(pairs=again))
    assert [each.better for each in found.picks.pairs] == ["right", "same"]


def test_nothing_is_taken_over_of_pictures_that_the_run_does_not_have(run: Material) -> None:
    pair = {"left": "lake-d03", "right": "../../etc/passwd", "better": "left"}
    found = save_picks(run, _file(picks={"__proto__": {"stars": 5}, "lake-d03": {"stars": 3}}, pairs=[pair]))

    assert found.unknown == ("__proto__", "../../etc/passwd")
    assert (list(found.picks.picks), found.picks.pairs) == (["lake-d03"], ())


def test_what_a_page_of_several_runs_calls_by_its_run_is_known_by_its_content(run: Material) -> None:
    one, other = (judged_files(run)[job].sha256 for job in _JOBS)
    picks = {
        "lake/lake-d03": {"stars": 5, "sha256": one, "at": _LATER},
        "copy/lake-d03": {"stars": 1, "sha256": one, "at": _EARLIER},
        "lake/lake-d05": {"stars": 2, "sha256": one},
        "lake-d05/lake-d05": {"stars": 2},
    }
    pair = {"left": "lake/lake-d03", "right": "copy/lake-d05", "better": "left", "left_sha256": one, "right_sha256": other}
    found = save_picks(run, _file(picks=picks, pairs=[pair, pair | {"right_sha256": one}]))

    assert {name: pick.stars for name, pick in found.picks.picks.items()} == {"lake-d03": 5}
    assert [(each.left, each.right) for each in found.picks.pairs] == [("lake-d03", "lake-d05")]
    assert found.unknown == ("lake/lake-d05", "lake-d05/lake-d05", "copy/lake-d05")


def test_what_was_said_of_jobs_that_the_recipes_no_longer_have_stays(run: Material) -> None:
    (run.folder / FILE).write_bytes(_file(picks={"gone": {"stars": 4}}))

    found = save_picks(run, _file(picks={"gone": {"stars": 5}, "lake-d03": {"stars": 1}}))
    assert (found.picks.picks["gone"].stars, found.unknown) == (5, ())


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 1, "picks": {"lake-d03": {"stars": 9}}}', b" " * (17 << 20)])
def test_what_is_wrong_is_refused_and_the_file_stays(run: Material, content: bytes) -> None:
    save_picks(run, _file(picks={"lake-d03": {"stars": 5}}))
    before = (run.folder / FILE).read_bytes()

    with pytest.raises(InputError, match="what was sent"):
        save_picks(run, content, where="what was sent")
    assert (run.folder / FILE).read_bytes() == before


def test_a_damaged_file_is_never_overwritten(run: Material) -> None:
    (run.folder / FILE).write_bytes(b'{"format": 1, "picks": {"lake-d0')

    with pytest.raises(InputError, match="is not JSON"):
        save_picks(run, _file(picks={"lake-d03": {"stars": 5}}))
    assert (run.folder / FILE).read_bytes() == b'{"format": 1, "picks": {"lake-d0'


def test_a_link_in_its_place_is_not_followed_when_it_is_written(run: Material, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(_file())
    (run.folder / FILE).symlink_to(tmp_path / "elsewhere")

    save_picks(run, _file(picks={"lake-d03": {"stars": 5}}))
    assert (tmp_path / "elsewhere").read_bytes() == _file()
    assert _saved(run).picks["lake-d03"].stars == 5


def test_a_folder_that_cannot_be_written_is_told(run: Material) -> None:
    (run.folder / FILE).mkdir()

    with pytest.raises(ComfyRunnerError, match=r"picks.json: cannot be read"):
        save_picks(run, _file(picks={"lake-d03": {"stars": 5}}))


def test_of_many_who_say_something_at_a_time_nothing_is_lost(run: Material) -> None:
    pairs = [
        {"left": _JOBS[0], "right": _JOBS[1], "better": "left", "at": f"2026-11-30T09:00:{second:02}Z"} for second in range(24)
    ]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda pair: save_picks(run, _file(pairs=[pair])), pairs))
    assert len(_saved(run).pairs) == len(pairs)


_MOMENTS = st.none() | st.sampled_from([_EARLIER, "2026-11-30T09:00:00.000+00:00", _LATER])
_PICKS = st.dictionaries(
    st.sampled_from("ab"), st.fixed_dictionaries({"stars": st.none() | st.integers(1, 5), "at": _MOMENTS}), max_size=2
)
_PAIRS = st.lists(
    st.fixed_dictionaries(
        {"left": st.just("a"), "right": st.just("b"), "better": st.sampled_from(["left", "same"]), "at": _MOMENTS}
    ),
    max_size=3,
)


@given(_PICKS, _PAIRS, _PICKS, _PAIRS)
def test_adding_a_file_twice_is_adding_it_once(one: Any, its_pairs: Any, other: Any, other_pairs: Any) -> None:
    before, said = _picks(picks=one, pairs=its_pairs), _picks(picks=other, pairs=other_pairs)
    once = merge_picks(before, said)

    assert merge_picks(once, said) == once
    assert once.picks.keys() == before.picks.keys() | said.picks.keys()
    assert len(once.pairs) >= len(before.pairs)
    assert parse_picks(dumped_picks(once), where=FILE) == once
