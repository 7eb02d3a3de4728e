"""Which shard is meant: what users write, and what four systems say of their processes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfy_runner.errors import UsageError
from comfy_runner.shard import Shard, find_shard

SLURM = {"SLURM_ARRAY_TASK_ID": "12", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "10"}


@given(st.integers(1, 100_000).flatmap(lambda count: st.tuples(st.integers(1, count), st.just(count))))
def test_what_is_written_is_read_and_names_of_folders_sort(numbers: tuple[int, int]) -> None:
    index, count = numbers
    shard = Shard(index, count)

    assert find_shard(str(shard), {}) == shard
    assert (Shard(1, count).folder < shard.folder) == (index > 1)


@pytest.mark.parametrize(
    "text",
    ["0/8", "9/8", "a/b", "3", "/8", "3/", "", "-1/8", "3/8/9", "1.5/8", "3/0", "auto/", "auto/0", "auto/x", "٣/٨", "1/100001"],
)
def test_what_is_no_shard_is_refused_with_what_was_given(text: str) -> None:
    with pytest.raises(UsageError, match="--shard: ") as raised:
        find_shard(text, SLURM)

    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("environ", "text", "found"),
    [
        (SLURM, "auto", "3/4"),
        (SLURM, "auto/4", "3/4"),
        ({**SLURM, "SLURM_ARRAY_TASK_STEP": "2"}, "auto", "2/4"),
        ({**SLURM, "SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_MIN": "0"}, "auto", "1/4"),
        ({"JOB_COMPLETION_INDEX": "0"}, "auto/8", "1/8"),
        ({"JOB_COMPLETION_INDEX": "7", "JOB_COMPLETIONS": "8"}, "auto", "8/8"),
        ({"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "3"}, "auto", "1/3"),
        ({"CI_NODE_TOTAL": "1", "SKYPILOT_NODE_RANK": "1", "SKYPILOT_NUM_NODES": "2"}, "auto", "2/2"),
        ({**SLURM, "SKYPILOT_NODE_RANK": "2", "SKYPILOT_NUM_NODES": "4"}, "auto", "3/4"),
        (SLURM, "2/8", "2/8"),
    ],
)
def test_a_system_tells_which_shard_its_process_is(environ: dict[str, str], text: str, found: str) -> None:
    assert str(find_shard(text, environ)) == found


@pytest.mark.parametrize(
    ("environ", "text", "told"),
    [
        ({}, "auto", "none of SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX"),
        ({"JOB_COMPLETION_INDEX": "3"}, "auto", "JOB_COMPLETIONS is not set"),
        ({**SLURM, "CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "4"}, "auto", r"Slurm 3/4 \(SLURM_.* and GitLab 1/4 \(CI_NODE_INDEX\)"),
        (SLURM, "auto/8", r"Slurm has started 4 \(SLURM_ARRAY_TASK_COUNT\), not 8"),
        ({**SLURM, "SLURM_ARRAY_TASK_COUNT": "1", "SLURM_ARRAY_TASK_MIN": "12"}, "auto", "a single task"),
        ({**SLURM, "SLURM_ARRAY_TASK_COUNT": "2"}, "auto", "does not number 2 processes from 10"),
        ({**SLURM, "SLURM_ARRAY_TASK_STEP": "4"}, "auto", r"from 10 by 4 \(got SLURM_ARRAY_TASK_ID=12\)"),
        ({**SLURM, "SLURM_ARRAY_TASK_ID": "x"}, "auto", "SLURM_ARRAY_TASK_ID: must be a whole number"),
        ({"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2"}, "auto", "SLURM_ARRAY_TASK_MIN is not set"),
        ({"CI_NODE_INDEX": "4", "CI_NODE_TOTAL": "3"}, "auto", "GitLab does not number 3 processes from 1"),
        ({"CI_NODE_INDEX": "0", "CI_NODE_TOTAL": "3"}, "auto", "GitLab does not number 3 processes from 1"),
    ],
)
def test_what_a_system_does_not_tell_is_said(environ: dict[str, str], text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        find_shard(text, environ)
