"""Socket types of the folder nodes."""

from __future__ import annotations

from comfy_api.latest import io

from ..core import InvalidSettingError
from ..core.files.picture import FileFacts

# Carries a core.picture_file.FileFacts: what a file tells beside its pixels.
FileSocket = io.Custom("LATENT_TRACE_FILE")
# Carries a tuple of core.trace_row.TraceRow: the files of a folder that could not be read.
UnreadableSocket = io.Custom("LATENT_TRACE_UNREADABLE")
# Carries a core.trace_row.TraceRow: one line of a report.
RowSocket = io.Custom("LATENT_TRACE_ROW")


def file_input() -> io.Input:
    """The facts of the image's file, the last of a node's inputs."""
    return FileSocket.Input(
        "file",
        optional=True,
        tooltip="From Load Images to Trace: what the file tells beside its pixels. Not needed for core's Load Image"
        " when it is connected directly.",
    )


def check_file_socket(file: object) -> None:
    """Raise :class:`InvalidSettingError` unless ``file`` is what :func:`file_input` takes, or nothing."""
    if file is not None and not isinstance(file, FileFacts):
        raise InvalidSettingError("The file input holds no file: connect Load Images to Trace.")
