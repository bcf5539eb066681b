"""Socket types of this pack."""

from __future__ import annotations

from comfy_api.latest import io

from ..core import InvalidProfileError, Profile

# Carries a core.Inversion: a frozen dataclass of CPU tensors.
Trace = io.Custom("LATENT_TRACE")
# Carries a core.InputInversion, the trace of a generator.
Origin = io.Custom("LATENT_TRACE_ORIGIN")
# Carries a core.Profile, or a tuple of them, one for each condition.
ProfileSocket = io.Custom("LATENT_TRACE_PROFILE")

# In front: trace, calibrate, find regions, folder and report. Whoever needs the others knows what to look for.
CATEGORY = "image/provenance"
MORE = f"{CATEGORY}/saved profiles, several VAEs"
STEPS = f"{CATEGORY}/paper's steps"
GENERATORS = f"{CATEGORY}/generators"
FINGERPRINTS = f"{CATEGORY}/fingerprints"


Profiles = Profile | tuple[Profile, ...]


def check_profile_socket(profile: object, allows_several: bool = True) -> None:
    """Raise :class:`InvalidProfileError` if something else than a profile, or nothing, is connected."""
    if isinstance(profile, tuple) and profile and all(isinstance(one, Profile) for one in profile):
        if allows_several:
            return
        raise InvalidProfileError(f"The profile input holds {len(profile)} profiles, one is needed: connect that one.")
    if profile is not None and not isinstance(profile, Profile):
        raise InvalidProfileError(
            f"The profile input holds a {type(profile).__name__}, not a profile: connect Calibrate Trace or"
            " Load Trace Profile."
        )
