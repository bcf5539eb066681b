"""Origin Verdict: did the image come out of this generator?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io, ui

from ..core import (
    InputInversion,
    InvalidSettingError,
    Profile,
    check_inversion_profile,
    judge_origin,
    origin_report,
    profile_from_inversions,
)
from ..core.profiles import save_profile
from ..core.reports.pictures import picture_tensor, trace_picture
from ..core.scores.ronan import calibrated_loss
from ..core.storage.locking import locked
from ..core.tracing.traced import Traced
from .outcome import stack, verdict_outputs
from .profiles import check_not_taken, profile_path
from .sockets import GENERATORS, Origin, ProfileSocket, check_profile_socket
from .source_file import source_behind_trace


class OriginVerdictNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerOriginVerdict",
            display_name="Origin Verdict",
            category=GENERATORS,
            description=(
                "Turns a trace of Invert Generator Input into an answer, by the loss divided by the image's complexity."
                " Without a profile, or known images of both kinds, it stays inconclusive."
            ),
            search_aliases=["RONAN", "origin attribution", "which generator", "is this AI", "provenance"],
            is_output_node=True,
            inputs=[
                Origin.Input("trace", tooltip="From Invert Generator Input."),
                ProfileSocket.Input(
                    "profile", optional=True, tooltip="A generator's profile, from here or `calibrate --generator`."
                ),
                Origin.Input(
                    "belonging",
                    optional=True,
                    tooltip="Instead of a profile: a trace of images this generator made, five or more.",
                ),
                Origin.Input(
                    "others",
                    optional=True,
                    tooltip="With belonging: a trace, with the same settings, of images it did not make; 99 for 1 %.",
                ),
                io.Combo.Input(
                    "complexity",
                    options=["entropy", "none"],
                    default="entropy",
                    advanced=True,
                    tooltip="What the loss is divided by: the image's two-dimensional entropy, as published, or"
                    " nothing. A profile brings its own.",
                ),
                io.Float.Input(
                    "fpr",
                    default=0.01,
                    min=0.0001,
                    max=0.49,
                    step=0.001,
                    round=0.0001,
                    advanced=True,
                    tooltip="How often another generator's image may be called belonging; a profile brings its own.",
                ),
                io.String.Input(
                    "save_as",
                    default="",
                    advanced=True,
                    tooltip="Saves the profile made here under models/latent_trace by this name. Empty: not saved.",
                ),
            ],
            outputs=[
                *verdict_outputs(),
                ProfileSocket.Output("profile", tooltip="The profile the answers rest on; nothing without one."),
            ],
            # Tells which file the image was loaded from.
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        trace: InputInversion,
        complexity: Any = "entropy",
        fpr: float = 0.01,
        save_as: str = "",
        profile: Profile | None = None,
        belonging: InputInversion | None = None,
        others: InputInversion | None = None,
    ) -> io.NodeOutput:
        for name, value in (("trace", trace), ("belonging", belonging), ("others", others)):
            if not isinstance(value, InputInversion) and (value is not None or name == "trace"):
                raise InvalidSettingError(
                    f"The {name} input holds no trace of a generator: connect Invert Generator Input."
                )
        check_profile_socket(profile, allows_several=False)
        known = profile or cls.calibrated(belonging, others, complexity, fpr, save_as.strip())
        if known is not None:
            complexity = check_inversion_profile(known, trace)
        source = source_behind_trace(cls.hidden)
        lossy = source is not None and source.facts.lossy and len(trace) == 1
        judged = [
            judge_origin(calibrated_loss(trace, k, complexity), known, trace.images[k : k + 1], lossy=lossy)
            for k in range(len(trace))
        ]
        drawn = [trace_picture(Traced.of_inversion(trace, k, one.verdict, known)) for k, one in enumerate(judged)]
        pictures = stack([picture_tensor(picture) for picture in drawn])
        report = "\n\n".join(origin_report(trace, k, one) for k, one in enumerate(judged))
        preview = ui.PreviewImage(pictures, cls=cls).as_dict()
        return io.NodeOutput(
            [one.verdict.answer == "belonging" for one in judged],
            [one.verdict.answer for one in judged],
            [one.verdict.score for one in judged],
            report,
            pictures,
            known,
            ui={**preview, "text": (report,)},
        )

    @classmethod
    def calibrated(
        cls, belonging: InputInversion | None, others: InputInversion | None, complexity: Any, fpr: float, name: str
    ) -> Profile | None:
        """The profile that images of known origin make, saved where a name is given; ``None`` without any."""
        if belonging is None and others is None:
            if name:
                raise InvalidSettingError(
                    "There is no profile to save: connect belonging and others, or clear save_as."
                )
            return None
        if belonging is None or others is None:
            raise InvalidSettingError(
                "A false-positive rate needs images of both kinds: connect belonging and others, or neither."
            )
        made = profile_from_inversions(belonging, others, complexity, fpr=fpr)
        if name:
            path = profile_path(name)
            with locked(Path(path)):
                check_not_taken(path, made.fingerprint)
                save_profile(made, path)
        return made
