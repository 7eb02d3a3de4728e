"""How much an installation takes on disk: all packages but pip itself, and what pip compiles of them. Asks the package index."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

_GOALS = {"": 60, "report": 150}  # MB


def main() -> None:
    """Print the size of the package, and of what each extra brings; of those that are named, or of those that have a goal."""
    root = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as temporary:
        built = Path(temporary, "dist")
        _pip("wheel", "--no-deps", "--wheel-dir", str(built), str(root))
        (wheel,) = built.glob("*.whl")
        print(f"the wheel: {wheel.stat().st_size / 1e6:.1f} MB")
        for extra in sys.argv[1:] or _GOALS:
            folder = Path(temporary, extra or "bare")
            _pip("install", "--target", str(folder), f"{wheel}[{extra}]" if extra else str(wheel))
            sizes = sorted(((_size(path), path.name) for path in folder.iterdir()), reverse=True)
            compiled = sum(path.stat().st_size for path in folder.rglob("*.pyc"))
            largest = ", ".join(f"{name} {size / 1e6:.1f}" for size, name in sizes[:5])
            goal = f" (goal: below {_GOALS[extra]} MB)" if extra in _GOALS else ""
            name = f"comfy-runner[{extra}]" if extra else "comfy-runner"
            print(f"{name}: {sum(size for size, _ in sizes) / 1e6:.0f} MB{goal} and {compiled / 1e6:.0f} MB of .pyc; {largest}")


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def _size(path: Path) -> int:
    found = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in found if each.is_file() and each.suffix != ".pyc")


if __name__ == "__main__":
    main()
