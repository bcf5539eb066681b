"""The command line: a thin face on core."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of ``latent-tracer``. Exit codes: 0 done, 2 bad input, 130 cancelled."""
    try:
        from .app import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(f"latent-tracer needs {error.name}: pip install 'latent-tracer[cli]'.")
    sys.exit(run())
