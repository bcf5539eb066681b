"""Socket types of the folder nodes."""

from __future__ import annotations

from comfy_api.latest import io

# Carries a core.picture_file.FileFacts: what a file tells beside its pixels.
FileSocket = io.Custom("LATENT_TRACE_FILE")
# Carries a tuple of core.trace_row.TraceRow: the files of a folder that could not be read.
UnreadableSocket = io.Custom("LATENT_TRACE_UNREADABLE")
# Carries a core.trace_row.TraceRow: one line of a report.
RowSocket = io.Custom("LATENT_TRACE_ROW")
