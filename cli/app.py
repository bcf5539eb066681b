"""The ``latent-tracer`` command: its subcommands, and how errors and cancellation end it."""

from __future__ import annotations

import io
import sys
import traceback
from typing import Any

import typer

from ..core import LatentTracerError
from ..core.errors import is_out_of_memory
from ..version import VERSION
from .attribute import attribute_command
from .calibrate import calibrate_command
from .console import say
from .corpus import corpus
from .demo import demo
from .family import family
from .fingerprint import fingerprint
from .interrupt import was_interrupted
from .origin import origin
from .profile import profile
from .trace import EXPLAIN_STEPS, trace

DEFECT, BAD_INPUT, CANCELLED = 1, 2, 130

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Did this picture come out of this model? Answers with both error rates, from a few passes of its VAE.",
)
app.command()(trace)
app.command("calibrate")(calibrate_command)
app.command("attribute")(attribute_command)
app.command()(family)
app.command()(origin)
app.command()(demo)
app.add_typer(fingerprint, name="fingerprint")
app.add_typer(profile, name="profile")
app.add_typer(corpus, name="corpus")


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"latent-tracer {VERSION}")
        raise typer.Exit


@app.callback()
def root(version: bool = typer.Option(False, "--version", callback=show_version, is_eager=True)) -> None:
    """Holds the options that come before a subcommand."""


def with_default_steps(arguments: list[str]) -> list[str]:
    """``--explain`` may stand without a number, which Typer's options cannot."""
    given: list[str] = []
    for position, word in enumerate(arguments):
        if word == "--":
            return given + arguments[position:]
        given.append(word)
        following = arguments[position + 1] if position + 1 < len(arguments) else ""
        if word == "--explain" and not following.lstrip("-").isdecimal():
            given.append(str(EXPLAIN_STEPS))
    return given


def _ended_by(error: Any) -> int:
    """Say what ended a command, past no terminal's harm, and return the exit code."""
    if hasattr(error, "show"):  # typer's own usage errors (its vendored click) know how to show themselves
        shown = io.StringIO()
        error.show(shown)
        say(shown.getvalue().rstrip())
        return BAD_INPUT
    if is_out_of_memory(error):
        say(f"latent-tracer: the memory did not suffice ({error}): close other programs, or give less at a time.")
        return BAD_INPUT
    say("".join(traceback.format_exception(error)).rstrip())
    say("latent-tracer: a defect of this program: please report it with the lines above.")
    return DEFECT


def run() -> int:
    """Run the command line and return its exit code."""
    try:
        result = app(with_default_steps(sys.argv[1:]), standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        result = CANCELLED
    except Exception as error:
        if isinstance(error, LatentTracerError):
            say(f"latent-tracer: {error}")
        # What a library makes of an interrupt is a cancel all the same.
        if not was_interrupted():
            return BAD_INPUT if isinstance(error, LatentTracerError) else _ended_by(error)
        result = CANCELLED
    # Typer itself turns an interrupt inside a command into this exit code, without a word.
    if result == CANCELLED:
        say("latent-tracer: cancelled; what was finished has been printed.")
    return result if isinstance(result, int) else 0
