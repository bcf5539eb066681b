"""Profiles: calibrations of one score for one decoder, as versioned JSON files."""

from __future__ import annotations

from ..errors import InvalidProfileError
from .file import load_profile, load_profiles, parse_profile, parse_profiles, save_profile, save_profiles
from .grid import Grid
from .limits import Limit, Limits, measured_limit
from .profile import JPEG_TOLERANCE, VERSION, Profile, digest_of
from .shipped import builtin_profile, default_profile, placement_profile, was_measured_on
from .source import Source
from .trust import HANDED_OVER, MADE_HERE, SHIPPED, calibration_words

__all__ = [
    "HANDED_OVER",
    "JPEG_TOLERANCE",
    "MADE_HERE",
    "SHIPPED",
    "VERSION",
    "Grid",
    "InvalidProfileError",
    "Limit",
    "Limits",
    "Profile",
    "Source",
    "builtin_profile",
    "calibration_words",
    "default_profile",
    "digest_of",
    "load_profile",
    "load_profiles",
    "measured_limit",
    "parse_profile",
    "parse_profiles",
    "placement_profile",
    "save_profile",
    "save_profiles",
    "was_measured_on",
]
