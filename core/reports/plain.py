"""An answer for somebody who has never read how it comes about: what it is, how often it is wrong, what to do next."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..profiles import HANDED_OVER
from ..profiles.thresholds import shown_rate
from ..storage.safe_text import clean_text
from ..verdicts.attribution import Attribution, Candidate
from ..verdicts.verdict import NOT_SCORED, OTHER_DECODERS, SEVERAL_DECODERS, Answer, Verdict

# What a reason may end with: one sentence says what is wrong, a colon, and what to do.
_REMEDY = re.compile(
    r"(.+)[:,] ((?:calibrate|check|choose|connect|give|load|save|scale|score|trace|use)\b.+)", re.DOTALL
)
_IN_PLAIN_WORDS = (("belonging images", "its own pictures"), ("belonging ones", "its own"))
_FILE = re.compile(r"\.(safetensors|sft|ckpt|pt|pth|bin|gguf)$", re.IGNORECASE)
SHORT_ANSWERS: dict[Answer, str] = {"belonging": "yes", "non-belonging": "no", "inconclusive": "cannot tell"}
NAMES_THE_VAE = "Ask which models use this VAE: they look alike, and so does a photo that went through it."
ONE_GENERATOR = "It holds for these weights alone: a generator that could have made it, too, cannot be told apart."
LOOK_ELSEWHERE = "If it was resized, cropped or saved anew since, trace the first copy; else try other VAEs."
NO_TRACE_AT_ALL = "No picture of this VAE can be traced this way: ask another VAE, or the picture's metadata."
FIRST_COPY = "Trace the picture as it was first saved, or one with more detail."


@dataclass(frozen=True)
class PlainAnswer:
    """``headline`` is a few words, ``certainty`` its own error rate, or why there is no answer, ``advice`` what to do
    next; the last two are sentences. ``answer`` gives the colour and the sign."""

    answer: Answer
    headline: str
    certainty: str
    advice: str


def short_name(model: str) -> str:
    """What the user chose, without its folders and its file's extension."""
    return clean_text(_FILE.sub("", re.split(r"[/\\]", model.strip())[-1]), 300) or "this VAE"


def plain_verdict(verdict: Verdict, model: str) -> PlainAnswer:
    """The answer of one model, called ``model``, about one picture."""
    name = short_name(model)
    if verdict.answer == "inconclusive":
        reason, advice = reason_and_remedy(verdict.basis)
        usual = NO_TRACE_AT_ALL if verdict.stage == NOT_SCORED else FIRST_COPY
        return PlainAnswer("inconclusive", f"Cannot tell whether {name} made it", reason, advice or usual)
    if verdict.answer == "belonging":
        wrong = _wrong_for(verdict.fpr, verdict.fpr_bound, "pictures that it did not make")
        advice = NAMES_THE_VAE if verdict.subject == "decoder" else ONE_GENERATOR
        headline = f"Made by {name}: yes"
    else:
        unaltered = "unaltered " if verdict.condition.startswith("clean") else ""
        state = "" if unaltered else f" (condition {clean_text(verdict.condition, 40)})"
        wrong = _wrong_for(verdict.fnr, verdict.fnr_bound, f"{unaltered}pictures that it made{state}")
        advice = LOOK_ELSEWHERE
        headline = f"No trace of {name} here"
    if verdict.fpr_basis == OTHER_DECODERS:
        wrong += f" Measured on {verdict.calibration}, not on {name}."
        advice = f"Calibrate {name} on 99 photographs for rates of its own."
    elif verdict.fpr_basis == SEVERAL_DECODERS:
        taken = verdict.state[-1].removesuffix(" since it was made") if verdict.state else "lying otherwise"
        wrong += f" It shows where the picture is taken as {taken}; measured on {verdict.calibration}"
        wrong += f", not on {name}." if verdict.is_borrowed else "."
    elif verdict.fpr is None and verdict.subject == "decoder":
        advice = f"Calibrate {name} to learn how often such an answer is wrong."
    if verdict.calibration == HANDED_OVER:
        wrong += " The calibration was handed over: it is as true as whoever made it."
    return PlainAnswer(verdict.answer, headline, wrong, advice)


def plain_attribution(result: Attribution) -> PlainAnswer:
    """Which of several models made a picture."""
    count = len(result.candidates)
    none = "it did not make" if count == 1 else f"none of these {count} VAEs made"
    if result.vae is not None:
        wrong = f"Wrongly said of at most {shown_rate(result.fpr)} of pictures that {none}."
        return PlainAnswer("belonging", f"Made by {short_name(result.vae)}", wrong, NAMES_THE_VAE)
    if result.tied:
        names = " or ".join(map(short_name, result.tied))
        explain = f"{'Both' if len(result.tied) == 2 else 'They'} explain the picture equally well."
        advice = "One VAE under two names, or close relatives: the pixels alone cannot part them."
        return PlainAnswer("inconclusive", f"A tie: {names}", explain, advice)
    possible = [one for one in result.candidates if one.verdict.answer != "non-belonging"]
    if not possible:
        headline = f"No trace of {'it' if count == 1 else 'any of them'} here"
        return PlainAnswer("non-belonging", headline, _refusals_wrong(result.candidates), LOOK_ELSEWHERE)
    names = ", ".join(short_name(one.name) for one in possible)
    reasons = dict.fromkeys(reason_and_remedy(one.verdict.basis)[0] for one in possible if not _says_yes(one))
    advice = next((advice for one in possible if (advice := reason_and_remedy(one.verdict.basis)[1])), FIRST_COPY)
    why = next(iter(reasons), "A yes must be clearer where several are asked.")
    return PlainAnswer("inconclusive", "Cannot tell which made it", f"Not ruled out: {names}. {why}", advice)


def reason_and_remedy(basis: str) -> tuple[str, str]:
    """A reason's two halves as sentences; the second is empty where it holds no remedy."""
    for term, words in _IN_PLAIN_WORDS:
        basis = basis.replace(term, words)
    found = _REMEDY.fullmatch(basis.strip())
    return (_sentence(found[1]), _sentence(found[2])) if found else (_sentence(basis), "")


def _sentence(text: str) -> str:
    text = text.strip()
    return "" if not text else text[0].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def _wrong_for(rate: float | None, bound: float | None, pictures: str) -> str:
    if rate is None:
        return "How often this answer is wrong was not measured."
    most = "" if bound is None else f" (at most {shown_rate(bound)}, with 95 % confidence)"
    return f"Wrongly said of {shown_rate(rate)} of {pictures}{most}."


def _says_yes(one: Candidate) -> bool:
    return one.verdict.answer == "belonging"


def _refusals_wrong(candidates: tuple[Candidate, ...]) -> str:
    """A picture that one of them made is refused by all only if its own maker refuses it."""
    rates = [one.verdict.fnr for one in candidates]
    known = [rate for rate in rates if rate is not None]
    if not known or len(known) < len(rates):
        return "How often this answer is wrong was not measured."
    made = "it made" if len(rates) == 1 else "one of them made"
    conditions = dict.fromkeys(one.verdict.condition for one in candidates)
    altered = [clean_text(one, 40) for one in conditions if not one.startswith("clean")]
    pictures = (
        f"pictures that {made} (condition {', '.join(altered)})" if altered else f"unaltered pictures that {made}"
    )
    return f"Wrongly said of {shown_rate(max(known))} of {pictures}."
