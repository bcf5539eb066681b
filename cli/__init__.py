"""The command line: a thin face on core."""

from __future__ import annotations

import sys

from .interrupt import interrupts_kept, was_interrupted


def main() -> None:
    """Entry point of ``latent-tracer``. Exit codes: 0 done, 1 defect, 2 bad input, 130 cancelled."""
    with interrupts_kept():
        try:
            from .app import run
        except BaseException as error:
            # Loading torch takes seconds: long enough to change one's mind, of which C code may make another error.
            if not (was_interrupted() or isinstance(error, KeyboardInterrupt)):
                if isinstance(error, ModuleNotFoundError) and error.name in ("typer", "rich"):
                    sys.exit(f"latent-tracer needs {error.name}: pip install 'latent-tracer[cli]'.")
                raise
            print("latent-tracer: cancelled before anything was done.", file=sys.stderr)  # noqa: T201
            sys.exit(130)
        sys.exit(run())
