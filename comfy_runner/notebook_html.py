"""What notebooks show of results: small pieces of HTML that need nothing beside them, in which every text is escaped.

Pictures are in them as WebP, at most 512 pixels long: a notebook is a file that is sent and committed.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from comfy_runner.text_files import place, url_of

LONG_SIDE: Final = 512
"""Longest side of a picture in a notebook, in pixels."""

MOST_ROWS: Final = 24
"""Most jobs that are shown one by one, with their pictures."""

_LONGEST = 300
_MOST_PIXELS = 8192**2
_FIGURE = "display:inline-block;margin:4px 12px 4px 0;vertical-align:top"


def escaped(value: object, *, longest: int = _LONGEST) -> str:
    """Return a value as text that can stand anywhere in HTML, within its own direction of writing.

    Args:
        value: Any value.
        longest: How many characters are shown of it.
    """
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    text = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return f"<bdi>{html.escape(text.encode('utf-8', 'replace').decode())}</bdi>"


def table(headings: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; cells that are HTML already are `Markup`.

    Args:
        headings: Of the columns; empty for none.
        rows: Its rows, as long as the headings.
    """
    head = "".join(f'<th style="text-align:left">{_cell(each)}</th>' for each in headings)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left;vertical-align:top">{_cell(each)}</td>' for each in row) + "</tr>"
        for row in rows
    )
    return "<table>" + (f"<thead><tr>{head}</tr></thead>" if head else "") + f"<tbody>{body}</tbody></table>"


class Markup(str):
    """A text that is HTML already."""

    __slots__ = ()


def figure(path: Path, caption: str, *, long_side: int = LONG_SIDE) -> Markup:
    """Return a picture with its caption; without a picture that can be shown, the caption and where the file is.

    Args:
        path: The file; one that stands for a URL is only named, for nothing is fetched to be shown.
        caption: What it is.
        long_side: Its longest side, in pixels.
    """
    small = small_picture(path, long_side=long_side)
    below = f'<div style="font-size:smaller">{escaped(caption)}</div>' if caption else ""
    if small is None:
        return Markup(f'<div style="{_FIGURE}">{below}<code>{escaped(place(path))}</code></div>')
    data = base64.b64encode(small).decode("ascii")
    alt = html.escape(caption or path.name, quote=True)
    return Markup(f'<div style="{_FIGURE}"><img alt="{alt}" src="data:image/webp;base64,{data}">{below}</div>')


def small_picture(path: Path, *, long_side: int = LONG_SIDE, format: str = "WEBP") -> bytes | None:  # noqa: A002 - Pillow's word
    """Return a picture, reduced where it is larger; None where it is no picture that can be shown, such as a film, or is gone.

    Args:
        path: The file.
        long_side: Its longest side, in pixels.
        format: ``WEBP`` or ``PNG``.
    """
    from comfy_runner.picture_files import BROKEN, eight_bit_grey, opened, without_warnings  # Pillow, only where it is needed

    if url_of(path):
        return None
    try:
        with path.open("rb") as file:
            with without_warnings():
                picture = opened(file)
            if picture.width * picture.height > _MOST_PIXELS:
                return None
            image = (
                eight_bit_grey(picture)
                if picture.mode.startswith("I")
                else picture.convert("RGBA" if picture.has_transparency_data else "RGB")
            )
        image.thumbnail((long_side, long_side), reducing_gap=2.0)
        buffer = io.BytesIO()
        image.save(buffer, format)
        return buffer.getvalue()
    except BROKEN:
        return None


def _cell(value: object) -> str:
    return value if isinstance(value, Markup) else "" if value is None else escaped(value)
