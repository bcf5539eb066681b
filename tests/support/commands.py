"""The command line inside this process: starting Python for every case would cost more than the cases."""

from __future__ import annotations

import contextlib
import io
import sys
from types import SimpleNamespace
from unittest import mock

from latent_tracer.cli.app import run as command_line


def run(*arguments: object) -> SimpleNamespace:
    """``latent-tracer`` with ``arguments``: ``returncode``, ``stdout``, ``stderr``."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["latent-tracer", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = command_line()
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())
