"""Errors in as few words as a card has room for."""

from __future__ import annotations

import pytest

from comfy_runner.report.page.short_reasons import short_reason

_NODE = 'lake-s1: node "12" (Second pass, {}) failed: {}'


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("", ""),
        (_NODE.format("KSampler", "torch.OutOfMemoryError: would exceed allowed memory.\nhint: x"), "out of memory"),
        (_NODE.format("KSampler", "ValueError: shapes do not match"), "KSampler failed"),
        (_NODE.format("Upscale (by model)", "ValueError"), "ValueError"),
        ("lake-s1: was interrupted by someone else", "interrupted"),
        ("lake-s1, http://gpu:8188: the server refuses the workflow: value not in list", "refused"),
        ("lake-s1, http://gpu:8188: took longer than 30 seconds to answer", "no answer"),
        ("lake-s1: has taken longer than 60 s\nhint: allow it more time", "took too long"),
        ("upscaled.png: is not a whole picture: cannot identify image file", "broken file"),
        ("lake-s1: is one flat colour, black", "flat picture"),
        ("lake-s1: something that nobody has thought of, at great length", "something that nobody has…"),
        ("</script><img src=x onerror=alert(2)>" + "x" * 99, "</script><img src=x…"),
    ],
)
def test_an_error_is_told_in_few_words(error: str, words: str) -> None:
    assert short_reason(error) == words
