"""The notebook of examples/: it runs from top to bottom, shows what it says it shows, and is kept without outputs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.standin import StandIn

_EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()
print(nbformat.writes(notebook))
"""
_NOTEBOOK = Path(__file__).parents[1] / "examples" / "sweep.ipynb"


def _read() -> Any:
    return nbformat.read(_NOTEBOOK, as_version=4)


def _shown(notebook: Any, cell: str) -> dict[str, str]:
    """Return what the last line of a cell has shown, by its media types."""
    (found,) = [each for each in notebook.cells if each.id == cell]
    return dict(next(output.data for output in found.outputs if output.output_type == "execute_result"))


def test_it_is_kept_without_outputs() -> None:
    notebook = _read()

    nbformat.validate(notebook)
    assert [cell.id for cell in notebook.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)] == []


@pytest.mark.slow
def test_it_runs_and_shows_its_results(server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFY_RUNNER_SERVER", server.url)
    monkeypatch.setenv("COMFY_RUNNER_CONFIG", os.devnull)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))

    # A process of its own, for what kernels are talked to with leaves threads and loops behind.
    done = subprocess.run(
        [sys.executable, "-c", _EXECUTE, str(_NOTEBOOK)], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    notebook = nbformat.reads(done.stdout, as_version=4)
    # What is printed may come in any number of pieces.
    events = "".join(output.text for cell in notebook.cells if cell.id == "run" for output in cell.outputs)
    assert events.count(" done") == 6
    assert _shown(notebook, "results")["text/html"].count("data:image/webp") == 12
    assert _shown(notebook, "one")["text/html"].count("data:image/webp") == 2
    assert "runs/notebook" in _shown(notebook, "records")["text/plain"]
    assert "upscale.denoise" in _shown(notebook, "suggest")["text/html"]
    assert {"text/html", "image/png"} <= _shown(notebook, "sheet").keys()
    assert len(nbformat.writes(notebook)) < 2_000_000
