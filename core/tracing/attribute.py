"""Which of several models made a picture, or none: each answers through its own profile, and then they are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from ..files.picture import Picture
from ..verdicts.attribution import Attribution, Judged, decide
from .tracer import Tracer, expected_passes
from .watched import OnPass


def attribute(tracers: Sequence[Tracer], picture: Picture, on_pass: OnPass | None = None) -> Attribution:
    """Which of the models made ``picture``, or none, or a tie.

    See :func:`latent_tracer.core.verdicts.attribution.decide`. Raises :class:`InvalidSettingError` for no tracers, and
    as :meth:`Tracer.judged` does.
    """

    def held(tracer: Tracer) -> Callable[[], AbstractContextManager[Tracer]]:
        return lambda: nullcontext(tracer)

    return attribute_all([held(one) for one in tracers], [picture], on_pass)[0]


def attribute_all(
    candidates: Sequence[Callable[[], AbstractContextManager[Tracer]]],
    pictures: Sequence[Picture],
    on_pass: OnPass | None = None,
) -> list[Attribution]:
    """:func:`attribute` for each of ``pictures``, with one of ``candidates`` in memory at a time; each is opened once,
    or twice where a picture is recognised by none. Raises as that, and as opening does."""
    judged: list[list[Judged]] = [[] for _ in pictures]
    usual = [expected_passes(picture) for picture in pictures]
    to_come = len(candidates) * sum(usual)
    done = 0

    def told(tracer: Tracer, index: int, checks: bool) -> Judged:
        nonlocal done, to_come
        before = done
        to_come -= 0 if checks else usual[index]

        def tell(passes: int, expected: int) -> None:
            nonlocal done
            assert on_pass is not None
            done = before + passes
            on_pass(done, before + expected + to_come)

        history = judged[index][0].history if judged[index] else None
        return tracer.judged(pictures[index], None if on_pass is None else tell, history, checks)

    for opened in candidates:
        with opened() as tracer:
            for index, answers in enumerate(judged):
                answers.append(told(tracer, index, False))
    # Where one model is recognised, the others need not be searched for what could have hidden them.
    unrecognised = [k for k, answers in enumerate(judged) if all(one.verdict.answer != "belonging" for one in answers)]
    for place, opened in enumerate(candidates):
        refused = [index for index in unrecognised if judged[index][place].verdict.answer == "non-belonging"]
        if refused:
            with opened() as tracer:
                for index in refused:
                    judged[index][place] = told(tracer, index, True)
    return [decide(answers) for answers in judged]
