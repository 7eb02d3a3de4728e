"""What ComfyUI's page makes of texts when it sends a graph: choices ``{a|b}``, comments, and ``%…%`` in names of files."""

from __future__ import annotations

import re

_COMMENT = re.compile(r"/\*[\s\S]*?\*/|//[^\n\r\u2028\u2029]*")
_ESCAPED = re.compile(r"\\([{}|])")
_TOKEN = re.compile(r"\\[\s\S]|\{")
_PATTERN = re.compile(r"%([^%]+)%")

SAVERS = frozenset(
    {"SaveImage", "SaveVideo", "SaveAnimatedWEBP", "SaveWEBM", "SaveAudio", "SaveGLB", "SaveAnimatedPNG"}
    | {"CLIPSave", "VAESave", "ModelSave", "LoraSave", "SaveLatent"}
)
"""Classes in whose ``filename_prefix`` the page replaces ``%date:…%`` and ``%Node.control%``."""


def processed(text: str) -> tuple[str, str]:
    """Return a prompt as the page sends it, and what to say of that; empty for nothing.

    Comments are left out and escaped braces written plainly, always the same. Of a choice the page takes another alternative in
    each run; it stays as it is.
    """
    plain = _COMMENT.sub("", text)
    commented = "ComfyUI's page leaves out comments (// and /* */), and so does this" if plain != text else ""
    if any(token[0] == "{" for token in _TOKEN.finditer(plain)):
        return plain, "ComfyUI's page draws one of {a|b} in each run; here it stays as text" + (
            f"; {commented}" if commented else ""
        )
    return _ESCAPED.sub(r"\1", plain), commented


def patterns(prefix: str) -> list[str]:
    """Return the patterns in a file prefix that the page replaces, and the server does not."""
    found = [match[1] for match in _PATTERN.finditer(prefix)]
    return [f"%{each}%" for each in found if each.startswith("date:") or each.count(".") == 1]
