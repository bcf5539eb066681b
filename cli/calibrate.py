"""``latent-tracer calibrate``: measure one autoencoder's scores on photographs and keep them as a profile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core import CONDITIONS, InvalidSettingError, Profile, calibrate_conditions, load_autoencoder, make_score
from ..core.calibration.estimate import TimeLeft, work_words
from ..core.calibration.kept import KeptScores
from ..core.calibration.scores import CalibrationStep
from ..core.images.conditions import CLEAN, USUAL
from ..core.inversion.inputs import STARTS
from ..core.models.loading import EMBEDDED
from ..core.profiles import save_profiles
from ..core.profiles.table import found_among_belonging
from ..core.profiles.thresholds import shown_rate
from ..core.scores import default_score
from ..core.storage.atomic import check_writable
from ..version import VERSION
from .calibrate_generator import calibrate_generator
from .console import progress_bar, say, show
from .pictures import FolderPictures


def calibrate_command(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write the profile (JSON).")],
    vae: Annotated[str | None, typer.Option(help="Inspected model, as for trace.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of photographs that are not this model's.")] = None,
    fpr: Annotated[float, typer.Option(help="False-positive rate of a belonging answer.")] = 0.01,
    fnr: Annotated[float, typer.Option(help="False-negative rate of a non-belonging answer.")] = 0.01,
    generated: Annotated[Path | None, typer.Option(help="Folder of pictures this model really made.")] = None,
    other: Annotated[list[str] | None, typer.Option(help="Further decoders as non-belonging sources.")] = None,
    score: Annotated[
        str | None, typer.Option(help="The score to calibrate; by default the one that suits the condition.")
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            help=f"What the pictures went through: {', '.join(CONDITIONS)}. Repeat it for a profile of several; by"
            f" default {', '.join(USUAL)} (with --generator {CLEAN})."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the perturbed belonging samples.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    generator: Annotated[str | None, typer.Option(help="Instead of --vae: a generator, as for origin.")] = None,
    belonging: Annotated[int, typer.Option(help="With --generator: how many images it makes.")] = 100,
    complexity: Annotated[str, typer.Option(help="With --generator: entropy, regenerated or none.")] = "entropy",
    starts: Annotated[int, typer.Option(help="With --generator: random starts per image.")] = STARTS,
    solver: Annotated[str | None, typer.Option(help="With --generator: as for origin.")] = None,
    steps: Annotated[int | None, typer.Option(help="With --generator: steps of the solver.")] = None,
    guarantee: Annotated[
        float | None,
        typer.Option(help="Confidence, such as 0.95, with which --fpr and --fnr are kept; without it, on average."),
    ] = None,
) -> int:
    """Calibrate on photographs: what the model makes of them belongs, they themselves do not.

    Pictures that show the same (re-encoded, resized, mirrored, of one burst) count once.

    With --generator, images that it makes from random inputs belong; --images and --other name what does not.
    """
    conditions = list(dict.fromkeys(condition or (USUAL if generator is None else [CLEAN])))
    for one in conditions:
        if one not in CONDITIONS:
            raise InvalidSettingError(f"Unknown condition {one!r}: choose one of {', '.join(CONDITIONS)}.")
    if (vae is None) == (generator is None):
        raise InvalidSettingError("Give either --vae or --generator: exactly one model is calibrated.")
    check_writable(output)
    if generator is not None:
        if len(conditions) > 1:
            raise InvalidSettingError("A generator is calibrated for one condition: give --condition once.")
        made = calibrate_generator(
            generator,
            FolderPictures(images) if images is not None else (),
            FolderPictures(generated) if generated is not None else (),
            other or [],
            belonging=belonging,
            complexity=complexity,
            starts=starts,
            solver=solver,
            steps=steps,
            condition=conditions[0],
            fpr=fpr,
            fnr=fnr,
            guarantee=guarantee,
            seed=seed,
            device=device,
        )
        save_and_tell([made], output)
        return 0
    if vae is None or images is None:
        raise InvalidSettingError("Calibrating a VAE needs --images: a folder of photographs.")
    scores = {one: make_score(score or default_score(one)) for one in conditions}
    autoencoder = load_autoencoder(vae, device)
    others = [load_autoencoder(name, device) for name in (other or EMBEDDED)]
    pictures = FolderPictures(images)
    say(f"calibrating {work_words(autoencoder, scores, len(pictures), others)}")
    time_left = TimeLeft()
    with (
        KeptScores(output, autoencoder, VERSION) as kept,
        progress_bar(1, "calibrating") as (progress, task),
    ):
        if kept.taken_up:
            say(f"{kept.taken_up} scores had been measured before.")

        def advance(step: CalibrationStep, progress: Any = progress, task: Any = task) -> None:
            progress.update(task, completed=step.done, total=step.total)
            words = time_left.after(step)
            if words:
                if time_left.told == 1:
                    say(f"{words} on this device")
                progress.update(task, description=f"calibrating, {words}")

        profiles = calibrate_conditions(
            autoencoder,
            scores,
            pictures,
            generated=FolderPictures(generated) if generated is not None else (),
            others=others,
            fpr=fpr,
            fnr=fnr,
            guarantee=guarantee,
            seed=seed,
            calibrated_on=f"photographs in a folder named {images.name}",
            on_image=advance,
            kept=kept,
        )
        save_and_tell(profiles, output)
        kept.done()
    return 0


def save_and_tell(profiles: Sequence[Profile], output: Path) -> None:
    """Write the profiles and say what their answers will be worth."""
    save_profiles(profiles, output)
    for profile in profiles:
        found = found_among_belonging(profile)
        low, high = found.interval
        show(
            f"{output}: {profile.autoencoder}, condition {profile.condition}, false-positive rate"
            f" {shown_rate(profile.stated_fpr, profile.fpr_bound)}; accepts {shown_rate(found.accepted / found.n)} of"
            f" belonging pictures (95 % interval {shown_rate(low)} to {shown_rate(high)});"
            f" {profile.pictures_counted} of {profile.pictures_given} pictures counted."
        )
    for note in dict.fromkeys(note for profile in profiles for note in (*profile.notes, profile.shortfall)):
        if note:
            say(note)
