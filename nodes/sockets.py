"""Socket types of this pack."""

from __future__ import annotations

from comfy_api.latest import io

# Carries a core.Inversion: a frozen dataclass of CPU tensors.
Trace = io.Custom("LATENT_TRACE")
# Carries a core.InputInversion, the trace of a generator.
Origin = io.Custom("LATENT_TRACE_ORIGIN")
# Carries a core.Profile.
ProfileSocket = io.Custom("LATENT_TRACE_PROFILE")

CATEGORY = "image/provenance"
