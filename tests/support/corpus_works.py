"""Questions for corpora that need no network: what Ray's workers can import, and what happens when they die."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from latent_tracer.core.tracing.row import TraceRow
from latent_tracer.corpus.inputs import Source
from latent_tracer.corpus.work import DeviceLostError


class NamesWork:
    """Every picture belongs; one called ``deadly`` ends the process, one called ``lost`` loses the device."""

    kind = "trace"

    def begin(self, device: str) -> None:
        pass

    def records(self, sources: Sequence[Source]) -> Iterator[dict[str, Any]]:
        for source in sources:
            if source.name.startswith("deadly"):
                os._exit(1)
            if source.name.startswith("lost"):
                raise DeviceLostError("CUDA error: an illegal memory access was encountered")
            yield TraceRow(source.name, verdict="belonging", seconds=0.0).to_json(source.image, "none")

    def failed(self, source: Source, reason: str) -> dict[str, Any]:
        return TraceRow(source.name, error=reason).to_json(source.image, "none")
