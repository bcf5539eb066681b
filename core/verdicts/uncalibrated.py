"""What a yes needs beside the default profile where nobody calibrated a decoder: to look like its own work.

What other pictures score hardly depends on the decoder, but a rough one, whose own score far lower, takes more of other
decoders' work for its own.
"""

from __future__ import annotations

from dataclasses import replace

from ..profiles import Profile
from .verdict import Verdict

# Of what a decoder's own pictures typically score; the two embedded ones, whose own come to -0.8, see up to -0.36 in
# each other's, the five tiny ones of the default profile, whose own come to -0.18 to -0.32, no more than -0.11.
OWN_SHARE = 0.5
# Pixels a cell of the coarsest decoder behind the default profile and its test (benchmarks/results/families.md). Scores
# compare cells: under coarser ones a picture must be larger to hold as many.
COARSEST_CELL = 16


def for_cells(profile: Profile, cell: int) -> Profile:
    """``profile`` of other decoders for one with ``cell`` pixels a latent cell."""
    smallest, largest = profile.image_sizes
    needed = -(-smallest * max(cell, COARSEST_CELL) // COARSEST_CELL)
    return replace(profile, image_sizes=(needed, max(needed, largest)))


def default_bound(profile: Profile, own: float) -> float:
    """What a score must lie below for a yes under a ``profile`` of other decoders: its threshold, and half of what this
    decoder's ``own`` typically score."""
    return min(profile.acceptance_threshold, OWN_SHARE * own)


def like_its_own(verdict: Verdict, profile: Profile, own: float) -> Verdict:
    """``verdict`` by that ``profile``, inconclusive for a yes that is not below :func:`default_bound`."""
    if verdict.answer != "belonging" or verdict.score < default_bound(profile, own):
        return verdict
    basis = (
        f"so low a score as {verdict.score:.3g} is rare where a decoder did not make the picture, but what this one"
        f" makes comes to {own:.3g}: calibrate it on photographs."
    )
    return replace(verdict, answer="inconclusive", basis=basis)
