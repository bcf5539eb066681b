"""Socket types of this pack."""

from __future__ import annotations

from comfy_api.latest import io

# Carries a core.Inversion: a frozen dataclass of CPU tensors.
Trace = io.Custom("LATENT_TRACE")
# Carries a core.Profile.
ProfileSocket = io.Custom("LATENT_TRACE_PROFILE")

CATEGORY = "image/provenance"
