"""What README and the manual show: their fenced blocks, the commands in them, the files that they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", flags=re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4,}.*\n(?:\n(?= {4}))?)+")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page.

    Attributes:
        page: The page.
        line: Where it begins.
        language: What stands behind the fence; empty for an indented block.
        text: What is in it, without the indentation.
    """

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Return where it is."""
        return f"{self.page.name}:{self.line}"

    @property
    def file(self) -> str:
        """Return which file its first line says that it is; empty where it says none."""
        found = re.match(r"# ([\w-]+\.\w+)\n", self.text)
        return found[1] if found else ""

    def commands(self) -> Iterator[list[str]]:
        """Yield the arguments of each call of comfy-runner, without what a shell takes for itself."""
        lines = re.sub(r"\\\n\s*", " ", self.text).splitlines()
        for line in lines:
            if found := re.match(r"\s*(?:\$ )?comfy-runner (.*)", line):
                words = shlex.split(found[1], comments=True)
                ends = [number for number, word in enumerate(words) if word in ("|", ">", "&&")]
                yield words[: min(ends, default=len(words))]


def blocks(page: Path) -> list[Block]:
    """Return all blocks of a page in order: the fenced ones, and those that are indented and no part of a list."""
    text = page.read_text(encoding="utf-8")
    fenced = [(match.start(), match[2], _dedented(match[3], len(match[1]))) for match in _FENCED.finditer(text)]
    rest = _FENCED.sub(lambda match: re.sub(r"[^\n]", "·", match[0]), text)
    indented = [(match.start(), "", _dedented(match[0], 4)) for match in _INDENTED.finditer(rest)]
    return [Block(page, text.count("\n", 0, start) + 1, language, found) for start, language, found in sorted([*fenced, *indented])]


def _dedented(text: str, blanks: int) -> str:
    return re.sub(rf"^ {{{blanks}}}", "", text, flags=re.MULTILINE)
