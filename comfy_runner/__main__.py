"""``python -m comfy_runner``."""

from comfy_runner.cli.main import main

if __name__ == "__main__":
    main()
