"""``latent-tracer family``: which family of models made each picture, through tiny autoencoders that are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..core import InvalidProfileError, ModuleAutoencoder, Picture, load_autoencoder
from ..core.models.tiny_pairs import tiny_pairs
from ..core.profiles.families import Families, load_families, shipped_families
from ..core.reports.family_report import PAGE_NAME, write_family_report
from ..core.tracing.family import held, which_family
from ..core.tracing.row import thumbnail
from ..core.verdicts.family import FAMILY_LIMITS, family_record
from .ask_each import Advance, ask_each
from .console import say, show
from .trace_run import list_inputs


def family(
    images: Annotated[
        list[Path], typer.Argument(help="Pictures to ask about, as they were saved, or folders of them.")
    ],
    proxies: Annotated[
        Path,
        typer.Option(help="Folder of TAESD and its relatives: NAME_encoder.safetensors, NAME_decoder.safetensors."),
    ],
    calibration: Annotated[
        Path | None, typer.Option(help="Another calibration of families than the one that ships.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    report: Annotated[Path | None, typer.Option(help="Folder for a report (CSV, HTML).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per image, one per line.")] = False,
) -> int:
    """Say which family of models (SD1/SD2, SDXL, …) made each picture, none of them, or that it cannot be told."""
    families = shipped_families() if calibration is None else load_families(calibration)
    loaded = known_proxies(proxies, families, device)
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []

    def ask(picture: Picture, image: str, advance: Advance) -> tuple[dict[str, Any], str]:
        (verdict,) = which_family([held(one) for one in loaded], [picture], families, advance)
        claims = picture.facts.claims.sentence
        record = {**family_record(image, verdict), "claims": claims}
        if report is not None:
            rows.append({**record, "thumbnail": thumbnail(picture.upright)})
        return record, "\n  ".join([*verdict.lines, claims])

    listing = list_inputs(images, [proxies, *([] if report is None else [report])])
    try:
        code = ask_each(listing, "asking for families", {"family": None}, ask, as_json, failures)
    finally:
        if report is not None:  # a cancel loses no answer
            shown = {"proxies": ", ".join(one.name for one in loaded), "calibrated on": families.calibrated_on}
            line = write_family_report(report, rows + failures, shown)
            if not as_json:
                show(f"{line}\n{report / PAGE_NAME}")
    if not as_json and listing.files:
        say(f"limits: {FAMILY_LIMITS}")
    return code


def known_proxies(folder: Path, families: Families, device: str) -> list[ModuleAutoencoder]:
    """The proxies in ``folder`` that ``families`` knows; says which others lie there. Raises
    :class:`InvalidProfileError` where there is none."""
    loaded = [load_autoencoder(path, device) for path in tiny_pairs(folder)]
    known = [one for one in loaded if families.of(one.fingerprint) is not None]
    for one in loaded:
        if one not in known:
            say(f"latent-tracer: {one.name} stands for no family that was calibrated: it is passed over.")
    if not known:
        names = ", ".join(dict.fromkeys(one.proxy for one in families.proxies))
        raise InvalidProfileError(f"None of the autoencoders in {folder} stands for a family: give one of {names}.")
    return known
