"""What MkDocs cannot do by itself: the manual links to files of ``examples/``, which lie beside ``docs/`` and not in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).parent


def on_files(files: Files, config: Any) -> Files:
    """Add the examples to the site, so that it is whole without the repository."""
    for path in sorted((_ROOT / "examples").rglob("*")):
        if path.is_file():
            files.append(File.generated(config, path.relative_to(_ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page's text with links to the examples as they lie in the site."""
    return markdown.replace("](../examples/", "](examples/")
