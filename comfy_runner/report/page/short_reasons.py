"""Why a job has no picture, in a word or three: what a card has room for. The whole sentence stands in the panel."""

from __future__ import annotations

import re
from typing import Final

_KNOWN: Final = (
    ("out of memory", r"out of memory|OutOfMemory|exceed allowed memory"),
    ("disk full", r"no space left|disk is full|free space"),
    ("interrupted", r"was interrupted"),
    ("ended by another", r"failure of another job|another job of its graph failed"),
    ("took too long", r"has taken longer than"),
    ("stuck", r"has made no progress with|runs none|does not let go"),
    ("refused", r"refuses the workflow|answered with status 4\d\d|value not in list"),
    (
        "no answer",
        r"did not answer|has not answered|longer than [\d.]+ seconds to answer|cannot be reached|out of order|connection",
    ),
    ("flat picture", r"one flat colour"),
    ("nothing saved", r"saved nothing|nothing, or not (?:all|everything)"),
    ("file gone", r"file is gone|has no .+ any more|neither in output nor in temp"),
    ("broken file", r"not a whole picture|is torn|checksum|cannot be read"),
    ("too large", r"is larger than"),
    ("lost", r"its actor (?:has )?ended|was made by (?:another|a different) graph|is the picture of"),
)
_NODE: Final = re.compile(r'node "[^"]*" \((?:.*, )?(?P<node>[^,()]+)\) failed')
_MOST: Final = 32


def short_reason(error: str) -> str:
    """Return an error in a few words: what kind it is, else the node that failed, else how its sentence begins; empty for none.

    Args:
        error: What became of a job or a picture, as the ledger has it: ``where: what``, with hints on lines of their own.
    """
    for words, pattern in _KNOWN:
        if re.search(pattern, error, re.IGNORECASE):
            return words
    if node := _NODE.search(error):
        return f"{_cut(node['node'])} failed"
    # What is said stands behind where it was.
    return _cut(error.partition("\n")[0].rpartition(": ")[2])


def _cut(text: str) -> str:
    text = " ".join(text.split())
    if len(text) <= _MOST:
        return text
    head = text[:_MOST]
    return f"{head.rpartition(' ')[0] or head}…"
