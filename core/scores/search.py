"""Before a no: would the trace show if the picture were mirrored, turned, cut off its grid or resized since?

Every placement is held against its own control, the same pixels half a period beside. A coarse look at one window of
most detail ranks all placements, a finer one the best of them, and the last two are looked at in the whole picture.
What is lowest of so many looks is no score of a calibration: it can withhold a no, and never carries a yes. But the
pixels outside the windows by which a placement was chosen know nothing of the choice: what they show is one test.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from ..errors import InvalidImageError
from ..images.canvas import content_box
from ..images.jpeg import jpeg_quality
from ..images.part import Part
from ..inversion.objective import Passes
from ..inversion.precision import bfloat16_is_faster
from ..models.autoencoder import Autoencoder
from .contrast_map import ContrastMap, Windowed, contrast_map, map_where_promising, windowed_picture
from .control import delivered_version
from .decoder_grid import grid_of
from .found import SIGN_EVIDENCE, Found
from .placement import ROUND, Placement, by_simple_factor, made_sizes, resampled, roundness, turned_placements
from .residuals import compared_pixels, grid_contrast, least_side, residual_energies
from .spectral import band_energies
from .windows import SIDE, WHOLE_PIXELS, WINDOWS, windows_of

# Sides in latent cells of the windows of the coarse looks, of which those at other sizes have weaker traces to see, and
# of the finer one. In windows of 12 cells 3 of 63 own pictures of five decoders stayed above -0.062 as they lie, in
# windows of 16 cells 1 of 63 came to above 0 at its right size after a resize to three quarters.
COARSE_CELLS, RESIZED_CELLS, FINE_CELLS = 16, 20, 24
# JPEG adds to what a look scatters by: after three quarters of 512² and JPEG 90 the right size was fifth and fifteenth
# in coarse looks of 20 cells, after finer ones of 24 sixth and fourth; of 24 and 32 cells it was first, of three.
JPEG_RESIZED_CELLS, JPEG_FINE_CELLS, JPEG_FINE = 24, 32, 12
# Coarse looks above these are not worth a finer one: at a picture of that size, at one resized since.
WORTH, WORTH_RESIZED = -0.1, -0.02
# How many placements get a finer look at most, and how many of them are scored. Of one picture resized to three
# quarters the right size was no better than fourth in the coarse looks (benchmarks/results/power.md).
FINE, SCORED = 8, 2
# So low a coarse look is scored at once, and the search ends where the whole picture comes to CLEAR: where not all
# turns and phases were looked at yet, and where they were. A decoder of strong traces shows a weaker one under a wrong
# turn. Own pictures that were mirrored, turned or cut off their grid had looks of -0.18 to -0.30 and came to -0.21 to
# -0.31 as a whole, of photographs the least look had -0.11.
OBVIOUS, LIKELY, CLEAR = -0.25, -0.15, -0.125
# A rough look at the whole picture above this is not worth an exact one; at a size that was reduced since, whose trace
# is weaker, one whose evidence is above that.
PROMISING, PROMISING_EVIDENCE = -0.03, -1.2


def search_placements(autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> Found | None:
    """The best of all placements but the one as the ``image`` ``[1,3,H,W]`` lies; ``None`` where none can be looked at.

    ``window``: as for a score. Raises :class:`NoGridError` and what memory raises.
    """
    # What looks like a canvas may be the picture's own plain ground: there the whole is looked at as well.
    box = content_box(image)
    inside = None
    if box is not None:
        inside = _Search(autoencoder, box.cut(image), window, uncovered=True).run()
        if inside is not None:
            inside = replace(inside, placement=replace(inside.placement, box=box))
            if inside.is_sign and inside.score < CLEAR:
                return inside
    whole = _Search(autoencoder, image, window).run()
    if inside is None or whole is None:
        return whole or inside
    best = min(whole, inside, key=lambda one: one.strength)
    return replace(
        best,
        looks=whole.looks + inside.looks,
        passes=whole.passes + inside.passes,
        tests=whole.tests + inside.tests,
    )


@torch.no_grad()
def seen_if_reduced(
    autoencoder: Autoencoder, image: Tensor, factor: float, quality: int | None, window: int | None = None
) -> tuple[float, Passes]:
    """The :meth:`.ContrastMap.evidence` of the decoder's own version of ``image`` ``[1,3,H,W]``, had it been reduced by
    ``factor`` and then stored as a JPEG file of ``quality`` (``None``: as PNG); raises as :func:`search_placements`."""
    search = _Search(autoencoder, image, window)
    search.jpeg_quality = quality
    made = (round(side / factor / search.ratio) * search.ratio for side in image.shape[-2:])
    found = search.control(Placement(size=(next(made), next(made))))
    return found.evidence(), search.passes


class _Search:
    """``uncovered``: the image as it lies is a placement, too."""

    def __init__(self, autoencoder: Autoencoder, image: Tensor, window: int | None, uncovered: bool = False) -> None:
        self.autoencoder, self.image, self.window, self.uncovered = autoencoder, image, window, uncovered
        self.ratio, self.grid = autoencoder.spatial_ratio, grid_of(autoencoder)
        self.passes = Passes()
        self.ranked: dict[Placement, float] = {}
        self.scores: dict[Placement, float] = {}
        self.strengths: dict[Placement, float] = {}
        # Contrast and evidence of what was not looked at to choose a placement.
        self.unseen: dict[Placement, tuple[float, float]] = {}
        # Under each placement the parts of the picture, as it lies there, by which it may be chosen.
        self.seen: dict[Placement, list[Part]] = {}
        # Where the picture, turned so, has most detail in windows of that side.
        self.centres: dict[tuple[bool, int, int], tuple[float, float]] = {}
        self.low_precision = bfloat16_is_faster(autoencoder.device)
        self.made = made_sizes(image.shape[-2], image.shape[-1], self.ratio)
        self.jpeg_quality = jpeg_quality(image)
        self.is_jpeg = self.jpeg_quality is not None

    def run(self) -> Found | None:
        with torch.no_grad():
            # Of what was cut off its grid, a mirror image whose other end lies on it shows a weak trace as well.
            whole = not any(side % self.ratio for side in self.image.shape[-2:])
            shifts = (self.turns, self.phases) if whole else (self.phases, self.turns)
            for stage in (self.as_it_lies, self.simple_sizes, *shifts, self.other_sizes, self.mirrored_sizes):
                for placement, contrast in stage():
                    self.ranked[placement] = contrast
                enough = OBVIOUS if stage in (self.as_it_lies, shifts[0]) else LIKELY
                best = min(self.ranked, key=self.ranked.__getitem__, default=Placement())
                if self.ranked.get(best, 0.0) < enough and best not in self.scores:
                    self.score(best)
                    if min(self.scores.values(), default=0.0) < CLEAR:
                        break
            else:
                worth = [one for one in self.ranked if self.ranked[one] < (WORTH_RESIZED if one.size else WORTH)]
                ahead = sorted(worth, key=self.ranked.__getitem__)[: JPEG_FINE if self.is_jpeg else FINE]
                # Chance goes with the square root of what was compared: small sizes must not crowd out others.
                finer = {one: self.look(one, self.finer_cells(one)) * self.compared(one) for one in ahead}
                for rank, placement in enumerate(sorted(ahead, key=finer.__getitem__)[:SCORED]):
                    self.score(placement, is_test=rank == 0)
        if not any(math.isfinite(contrast) for contrast in self.ranked.values()):
            return None
        order = self.strengths or self.ranked
        found = min(order, key=order.__getitem__)
        unseen, evidence = self.unseen.get(found, (0.0, 0.0))
        tests = max(1, len(self.unseen))
        score, strength = self.scores.get(found, 0.0), self.strengths.get(found, 0.0)
        control, scale = (self.control(found).contrast() if strength < SIGN_EVIDENCE else 0.0), self.scale(found)
        return Found(found, score, len(self.ranked), self.passes, evidence, tests, unseen, strength, control, scale)

    def control(self, placement: Placement) -> ContrastMap:
        """Of the decoder's own version of the picture, had it come to lie as under ``placement``."""
        placed = windowed_picture(self.placed(placement), self.ratio, self.window)
        scale = self.scale(placement)
        version = delivered_version(self.autoencoder, placed, scale, self.jpeg_quality, self.passes)
        found = contrast_map(self.autoencoder, version, self.window)
        self.passes += found.passes
        return found

    def scale(self, placement: Placement) -> float:
        """Of the sides since it was made."""
        made = math.prod(placement.size or self.image.shape[-2:])
        return math.sqrt(math.prod(self.image.shape[-2:]) / made)

    def was_reduced(self, placement: Placement) -> bool:
        return self.scale(placement) < 1

    def as_it_lies(self) -> Iterator[tuple[Placement, float]]:
        if self.uncovered:
            yield Placement(), self.look(Placement(), COARSE_CELLS)

    def phases(self) -> Iterator[tuple[Placement, float]]:
        """Cut off the grid: all phases of the same window."""
        part = self.best_window(self.image, COARSE_CELLS)
        if part is None:
            return
        window = part.cut(self.image)
        period, half = self.grid.period, self.grid.period // 2
        energies = {
            (down, across): self.energies(window, (down, across)) for down, across in product(range(period), repeat=2)
        }
        picture = band_energies(compared_pixels(window, self.ratio))[0].to(energies[0, 0])
        for down, across in energies:
            # A decoder writes its cells at its own phase: what it made begins that far before them.
            placement = Placement(top=(down - self.grid.phase) % period, left=(across - self.grid.phase) % period)
            if placement != Placement():
                self.seen[placement] = [replace(part, top=part.top - placement.top, left=part.left - placement.left)]
                beside = energies[(down + half) % period, (across + half) % period]
                yield placement, self.contrast(energies[down, across], beside, picture)

    def turns(self) -> Iterator[tuple[Placement, float]]:
        for placement in turned_placements():
            yield placement, self.look(placement, COARSE_CELLS)

    def simple_sizes(self) -> Iterator[tuple[Placement, float]]:
        """Resized by what people resize by most: a few looks, which mostly find it."""
        yield from (self.resized(Placement(size=size)) for size in self.made if self.is_simple(size))

    def other_sizes(self) -> Iterator[tuple[Placement, float]]:
        yield from (self.resized(Placement(size=size)) for size in self.made if not self.is_simple(size))

    def mirrored_sizes(self) -> Iterator[tuple[Placement, float]]:
        height, width = self.image.shape[-2:]
        for size in self.made:
            if roundness(height, width, size) == ROUND:
                yield self.resized(Placement(True, size=size))

    def is_simple(self, size: tuple[int, int]) -> bool:
        return by_simple_factor(self.image.shape[-2], self.image.shape[-1], size)

    def resized(self, placement: Placement) -> tuple[Placement, float]:
        # What was enlarged since has its trace whole.
        reduced = JPEG_RESIZED_CELLS if self.is_jpeg else RESIZED_CELLS
        return placement, self.look(placement, reduced if self.was_reduced(placement) else COARSE_CELLS)

    def look(self, placement: Placement, cells: int) -> float:
        """The contrast of one window under ``placement``; infinite where it cannot be looked at."""
        turned = replace(placement, size=None).undo(self.image)
        sized = placement.size is not None
        part = self.resized_window(turned, placement, cells) if sized else self.best_window(turned, cells)
        if part is None:
            return float("inf")
        where = (part.top, part.left), (part.height, part.width)
        window = resampled(turned, placement.size, *where) if placement.size else part.cut(turned)
        self.seen.setdefault(placement, []).append(part)
        here, half = self.grid.phase, self.grid.phase + self.grid.period // 2
        picture = band_energies(compared_pixels(window, self.ratio))[0].to(self.autoencoder.device)
        beside = (half % self.grid.period,) * 2
        return self.contrast(self.energies(window, (here, here)), self.energies(window, beside), picture)

    def finer_cells(self, placement: Placement) -> int:
        """The side of the finer look: what it sees is lost to the test of a small picture."""
        made = min(placement.size or self.image.shape[-2:])
        return JPEG_FINE_CELLS if self.is_jpeg and made >= 2 * JPEG_FINE_CELLS * self.ratio else FINE_CELLS

    def compared(self, placement: Placement) -> int:
        """The side in pixels of what the last look at ``placement`` compared."""
        return self.seen[placement][-1].height - 3 * self.ratio if placement in self.seen else 0

    def score(self, placement: Placement, is_test: bool = True) -> None:
        """What the whole picture shows under ``placement``, and what those parts do by which it was not chosen.

        The latter only for a test: each has its price in the rate of a yes.
        """
        placed = self.placed(placement)

        def promises(one: ContrastMap) -> bool:
            return one.contrast() < PROMISING or self.was_reduced(placement) and one.evidence() < PROMISING_EVIDENCE

        found = map_where_promising(self.autoencoder, placed, self.window, promises)
        self.passes += found.passes
        self.scores[placement], self.strengths[placement] = found.contrast(), found.evidence()
        if is_test:
            seen = self.seen.get(placement, ())
            # What promised nothing may have been looked at roughly alone: it is a test as well, and carries nothing.
            carries = promises(found)
            self.unseen[placement] = (found.statistics(seen)[0], found.evidence(seen)) if carries else (0.0, 0.0)

    def placed(self, placement: Placement) -> Tensor | Windowed:
        """The picture under ``placement``, whole cells; one that was larger than memory should hold in windows."""
        made = placement.size
        if made is None or not self.was_reduced(placement) or math.prod(made) <= WHOLE_PIXELS:
            placed = placement.undo(self.image)
            height, width = (side // self.ratio * self.ratio for side in placed.shape[-2:])
            return placed[..., :height, :width]
        turned = replace(placement, size=None).undo(self.image)
        down, across = (new / old for new, old in zip(made, turned.shape[-2:], strict=True))
        side = self.window or SIDE
        windows = []
        for there in windows_of(turned, self.ratio, round(side / max(down, across)))[:WINDOWS]:
            top, left = (round(at / self.ratio) * self.ratio for at in (there.top * down, there.left * across))
            sides = (min(side, made[0] - top), min(side, made[1] - left))
            windows.append(Part(top, left, *(length // self.ratio * self.ratio for length in sides)))
        return Windowed(
            tuple(windows),
            lambda part: resampled(turned, made, (part.top, part.left), (part.height, part.width)),
        )

    def best_window(self, image: Tensor, cells: int) -> Part | None:
        side = self.window_side(image.shape[-2:], cells)
        if side is None:
            return None
        best = windows_of(image, self.ratio, side)[0]
        return replace(best, height=min(best.height, side), width=min(best.width, side))

    def resized_window(self, image: Tensor, placement: Placement, cells: int) -> Part | None:
        """About where ``image``, which lies as under ``placement`` but for its size, has most detail."""
        made = placement.size or image.shape[-2:]
        side = self.window_side(made, cells)
        if side is None:
            return None
        key = (placement.mirrored, placement.turns, min(side, *image.shape[-2:]))
        if key not in self.centres:
            there = windows_of(image, self.ratio, key[-1])[0]
            self.centres[key] = (there.top + there.height / 2, there.left + there.width / 2)
        centre = self.centres[key]
        start = [
            min(max(0, round((at * new / old - side / 2) / self.ratio) * self.ratio), new - side)
            for at, new, old in zip(centre, made, image.shape[-2:], strict=True)
        ]
        return Part(start[0], start[1], side, side)

    def window_side(self, sides: tuple[int, ...], cells: int) -> int | None:
        side = min(cells * self.ratio, *(length // self.ratio * self.ratio for length in sides))
        return side if side >= least_side(self.ratio) else None

    def energies(self, window: Tensor, phase: tuple[int, int]) -> Tensor:
        part = window.to(self.autoencoder.device, self.autoencoder.dtype)
        if self.low_precision:
            # The coarse looks only choose where to look. Not every network can be run in bfloat16.
            try:
                return residual_energies(self.autoencoder, part, phase, self.passes, True)
            except (InvalidImageError, RuntimeError, TypeError):
                self.low_precision = False
        return residual_energies(self.autoencoder, part, phase, self.passes)

    def contrast(self, on_grid: Tensor, beside: Tensor, picture: Tensor) -> float:
        """Infinite where the window holds nothing to compare."""
        try:
            return grid_contrast(on_grid, beside, picture)
        except InvalidImageError:
            return float("inf")
