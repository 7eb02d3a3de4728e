"""The versions that a search goes through: the lines of a file, or what git has between two revisions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from comfy_runner.errors import UsageError
from comfy_runner.recipe.names import slug
from comfy_runner.text_files import read, shown
from comfy_runner.wording import did_you_mean

_LONGEST = 200
_SHA = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True, slots=True)
class Version:
    """One version.

    Attributes:
        name: What commands are told: a commit's full hash, or a line of the file.
        subject: What its author says of it; empty for one that is no commit.
    """

    name: str
    subject: str = ""

    def __str__(self) -> str:
        """Return it as people read it."""
        return f"{self.name[:10]} {self.subject}".rstrip() if _SHA.fullmatch(self.name) else self.name

    @property
    def folder(self) -> str:
        """Return a name for its files that is safe everywhere, and that no other version has."""
        if _SHA.fullmatch(self.name):
            return self.name[:12]
        plain = slug(self.name)
        return plain if plain == self.name else f"{plain[:60]}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}".lstrip("-")


def read_versions(path: Path) -> list[str]:
    """Return the versions of a file, one a line; empty lines and those that begin with ``#`` do not count.

    Args:
        path: The file, in the order in which the versions came, or in the opposite one.

    Raises:
        UsageError: It cannot be read, or has a line twice or too long.
    """
    found: dict[str, int] = {}
    for number, line in enumerate(read(path, error=UsageError).splitlines(), start=1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        where = f"{shown(path)}:{number}"
        if len(name) > _LONGEST or not name.isprintable():
            raise UsageError(f"a version must be at most {_LONGEST} printable characters", where=where)
        if name in found:
            raise UsageError(f"is listed twice (got {name}, also in line {found[name]})", where=where)
        found[name] = number
    return list(found)


def between(good: str, bad: str, names: Sequence[str], *, where: str) -> list[str]:
    """Return the part of a list from a good version to a bad one, in this order.

    Args:
        good: The good one.
        bad: The bad one, before or after it.
        names: The list.
        where: Where it is from, for messages.

    Raises:
        UsageError: One of them is not in it, or both are the same.
    """
    if missing := next((name for name in (good, bad) if name not in names), None):
        raise UsageError(f"there is no such version (got {missing})", where=where, hint=did_you_mean(missing, names))
    if good == bad:
        raise UsageError(f"GOOD and BAD are the same version (got {good})")
    first, last = names.index(good), names.index(bad)
    return list(names[first : last + 1]) if first < last else list(names[last : first + 1])[::-1]
