"""What ComfyUI's page makes of texts when it sends a graph: choices ``{a|b}``, comments, and ``%…%`` in names of files."""

from __future__ import annotations

import re

_COMMENT = re.compile(r"/\*[\s\S]*?\*/|//[^\n\r\u2028\u2029]*")
_ESCAPED = re.compile(r"\\([{}|])")
_TOKEN = re.compile(r"\\[\s\S]|[{}|]|[^\\{}|]+|\\")
_PATTERN = re.compile(r"%([^%]+)%")

SAVERS = frozenset(
    {"SaveImage", "SaveVideo", "SaveAnimatedWEBP", "SaveWEBM", "SaveAudio", "SaveGLB", "SaveAnimatedPNG"}
    | {"CLIPSave", "VAESave", "ModelSave", "LoraSave", "SaveLatent"}
)
"""Classes in whose ``filename_prefix`` the page replaces ``%date:…%`` and ``%Node.control%``."""


def processed(text: str) -> tuple[str, str]:
    """Return a prompt as the page sends it, and what to say of that; empty for nothing.

    Comments are left out, braces around a single alternative too, and escaped braces written plainly, always the same. Of several
    alternatives the page takes another one in each run; they stay as they are.
    """
    plain = _COMMENT.sub("", text)
    said = ["comments (// and /* */) are left out, as in ComfyUI's page"] if plain != text else []
    if plain.endswith("\\") and (len(plain) - len(plain.rstrip("\\"))) % 2:
        said.append('ComfyUI\'s page sends "undefined" behind the backslash at the end, but here it is left out')
    resolved = _resolved(plain)
    if resolved is None:
        return plain, "; ".join(["ComfyUI's page draws one of {a|b} in each run; here they stay as text", *said])
    if resolved != _ESCAPED.sub(r"\1", plain):
        said.append("{ and } are left out, as in ComfyUI's page")
    return resolved, "; ".join(said)


def _resolved(text: str) -> str | None:
    """Return a text without braces, each with one alternative; None where there are several."""
    kept: list[str] = []
    depth = 0
    for token in _TOKEN.finditer(text):
        part = token[0]
        if part == "{":
            depth += 1
        elif part == "}" and depth:
            depth -= 1
        elif part == "|" and depth:
            return None
        else:
            # Within braces the page goes over the text once more.
            kept.append(part)
    return _ESCAPED.sub(r"\1", "".join(kept))


def patterns(prefix: str) -> list[str]:
    """Return the patterns in a file prefix that the page replaces, and the server does not."""
    found = [match[1] for match in _PATTERN.finditer(prefix)]
    return [f"%{each}%" for each in found if each.startswith("date:") or each.count(".") == 1]
