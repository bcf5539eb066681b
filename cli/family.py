"""``latent-tracer family``: which family of models made each picture, through tiny autoencoders that are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..core import InvalidProfileError, ModuleAutoencoder, Picture, UnknownAutoencoderError, load_autoencoder
from ..core.models.tiny_pairs import tiny_pairs
from ..core.profiles.families import Families, load_families, shipped_families
from ..core.reports.family_report import PAGE_NAME, write_family_report
from ..core.storage.atomic import check_writable
from ..core.tracing.family import check_families, held, which_family
from ..core.tracing.row import thumbnail
from ..core.verdicts.family import FAMILY_LIMITS, family_record
from .ask_each import Advance, ask_each
from .console import say, show
from .trace_run import list_inputs


def family(
    images: Annotated[
        list[Path],
        typer.Argument(readable=False, help="Pictures to ask about, as they were saved, or folders of them."),
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
    if report is not None:
        check_writable(report / PAGE_NAME)
    try:
        code = ask_each(listing, "asking for families", {"family": None}, ask, as_json, failures)
    finally:
        if report is not None:  # a cancel loses no answer
            shown = {"proxies": ", ".join(one.name for one in loaded), "calibrated on": families.calibrated_on}
            answered = sorted(rows + failures, key=lambda row: row["image"])
            pending = len(listing.files) + len(listing.refused) - len(answered)
            line = write_family_report(report, answered, shown, pending=pending)
            if not as_json:
                show(f"{line}\n{report / PAGE_NAME}")
    if not as_json and listing.files:
        say(f"limits: {FAMILY_LIMITS}")
    return code


def known_proxies(folder: Path, families: Families, device: str) -> list[ModuleAutoencoder]:
    """The proxies in ``folder`` that ``families`` knows, each once; says which others lie there. Raises
    :class:`InvalidProfileError` where there is none, and for ``families`` of another score."""
    check_families(families)
    known: dict[str, ModuleAutoencoder] = {}
    for path in tiny_pairs(folder):
        try:
            loaded = load_autoencoder(path, device)
        except UnknownAutoencoderError as error:  # what else lies there is no reason to ask none
            say(f"latent-tracer: {path} is passed over: {error}")
            continue
        proxy = families.of(loaded.fingerprint)
        if proxy is None:
            say(f"latent-tracer: {loaded.name} stands for no family that was calibrated: it is passed over.")
        elif proxy.digest in known:
            say(f"latent-tracer: {loaded.name} has the weights of {known[proxy.digest].name}: it is passed over.")
        else:
            known[proxy.digest] = loaded
    if not known:
        names = ", ".join(dict.fromkeys(one.proxy for one in families.proxies))
        raise InvalidProfileError(f"None of the autoencoders in {folder} stands for a family: give one of {names}.")
    return list(known.values())
