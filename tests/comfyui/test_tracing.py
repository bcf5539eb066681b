"""Tracing on a running server: the saved workflows, caching, progress, cancelling, and what stays behind."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from .client import Client, Events, Run
from .conftest import Server, png
from .prompts import node, sources, trace, traced
from .test_pack_in_the_server import NODE_IDS, WORKFLOWS, saved
from .workflow import Prompt, to_prompt

Photographs = Callable[..., str]
ANSWERS = r"^(BELONGING|NON-BELONGING|INCONCLUSIVE): (?!Inconclusive)"


def picture(client: Client, image: dict[str, str]) -> Image.Image:
    data = client.view(image)
    assert data.startswith(b"\x89PNG")
    opened = Image.open(io.BytesIO(data))
    opened.load()
    return opened


def rerun(client: Client, prompt: Prompt) -> Run:
    """Run ``prompt`` with nothing cached. The server forgets between prompts, so ask until it has."""
    for _ in range(20):
        client.free()
        time.sleep(0.5)
        run = client.succeed(prompt)
        if not run.cached:
            return run
    raise AssertionError("the server never dropped its cache")


# What each template must say as it is, on the pack's own decoders and pictures. The app starts from ComfyUI's own.
SAID = {
    "build_fingerprint_basis": r"16 pictures, \d+ of \d+ directions",
    "calibrate_and_trace": r"^BELONGING",
    "find_the_edit": r"\d+(\.\d+)?\s?% of the picture does not look like",
    "origin_of_image": r"^(BELONGING|NON-BELONGING|INCONCLUSIVE)",
    "sign_and_read": r"user|key",
    "trace_folder": r"2 belonging",
    "trace_image": r"metadata and pixels: agree",
    "1_trace_what_I_just_made": r"^BELONGING",
    "trace_step_by_step": r"^BELONGING",
    "which_vae": r"^image 1: Made by ",
}


@pytest.mark.parametrize("name", [name for name in WORKFLOWS if name != "trace_image.app"])
def test_template_answers_as_it_is(name: str, client: Client) -> None:
    run = client.succeed(to_prompt(saved(name), client.object_info))
    said = [text for output in run.outputs.values() for text in output.get("text", ())]
    assert any(re.search(SAID[name], text, re.MULTILINE) for text in said), said


@pytest.mark.parametrize("name", ["trace_image.app", "trace_folder", "1_trace_what_I_just_made", "trace_step_by_step"])
def test_template_takes_any_vae_and_picture(
    name: str, decoder: str, client: Client, photographs: Photographs, folder: str
) -> None:
    if (decoder, name) == ("taef2", "1_trace_what_I_just_made"):
        pytest.skip("ComfyUI encodes for TAEF2 only pictures whose sides are multiples of 16")
    prompt = to_prompt(saved(name), client.object_info)
    for number, entry in prompt.items():
        inputs = entry["inputs"]
        if entry["class_type"] == "VAELoader":
            inputs["vae_name"] = decoder
        elif entry["class_type"] == "LoadImage":
            inputs["image"] = photographs(int(number), 128, 96)
        elif entry["class_type"] == "LatentTracerLoadImages":
            inputs |= {"folder": folder, "first": 1, "most": 2}
        if "steps" in inputs:
            inputs["steps"] = 3
    run = client.succeed(prompt)
    ours = {number for number, entry in prompt.items() if entry["class_type"] in NODE_IDS} & set(run.outputs)
    assert ours
    for number in ours:
        assert run.texts(number) and all(text.strip() for text in run.texts(number))
    verdicts = {n for n in ours if prompt[n]["class_type"] in ("LatentTracerVerdict", "LatentTracerTraceImage")}
    assert verdicts
    assert all(re.search(ANSWERS, text, re.MULTILINE) for number in verdicts for text in run.texts(number))
    assert all(run.images(number) for number in verdicts)
    for image in [image for number in verdicts for image in run.images(number)]:
        report = picture(client, image)
        assert report.mode == "RGB"
        assert report.width == 800
        assert 300 < report.height < 1500
        assert len(report.resize((64, 64)).getcolors(64 * 64)) > 100


def test_a_bare_loss_is_judged_by_the_calibration_where_the_vae_is_connected(
    client: Client,
) -> None:
    prompt = trace("demo-a.safetensors", "example.png") | {"answer": node("PreviewAny", source=["verdict", 1])}
    made = {"folder": "latent-tracer examples/mixed", "below": True, "first": 1, "most": 1}
    prompt["image"] = node("LatentTracerLoadImages", **made)
    assert client.succeed(prompt).text("answer") == "inconclusive"
    prompt["verdict"]["inputs"]["vae"] = ["vae", 0]
    assert client.succeed(prompt).text("answer") == "belonging"
    prompt["other"] = node("VAELoader", vae_name="demo-b.safetensors")
    prompt["verdict"]["inputs"]["vae"] = ["other", 0]
    assert "another VAE" in client.fail(prompt)["exception_message"]


def test_decoded_image_belongs_to_its_decoder_and_a_photograph_does_not(
    any_decoder: str, client: Client, photographs: Photographs
) -> None:
    decoded = sources(any_decoder, photographs(1, 64, 64)) | {
        "encoded": node("VAEEncode", pixels=["image", 0], vae=["vae", 0]),
        "decoded": node("VAEDecode", samples=["encoded", 0], vae=["vae", 0]),
        "save": node("SaveImage", images=["decoded", 0], filename_prefix="decoded"),
    }
    stored = client.view(client.succeed(decoded).images("save")[0])
    both = sources(any_decoder, client.upload_image("decoded.png", stored)) | {
        "photograph": node("LoadImage", image=photographs(1, 64, 64)),
        "batch": node("ImageBatch", image1=["image", 0], image2=["photograph", 0]),
        **traced(["vae", 0], ["batch", 0], steps=50),
        "answers": node("PreviewAny", source=["verdict", 1]),
    }
    belonging, other = (float(score) for score in client.succeed(both).texts("score"))
    assert other > 10 * belonging
    both["verdict"]["inputs"]["threshold"] = (belonging * other) ** 0.5
    assert client.succeed(both).texts("answers") == ["belonging", "non-belonging"]


def test_nothing_known_is_inconclusive(any_decoder: str, client: Client, photographs: Photographs) -> None:
    prompt = trace(any_decoder, photographs(2)) | {
        "belongs": node("PreviewAny", source=["verdict", 0]),
        "answer": node("PreviewAny", source=["verdict", 1]),
    }
    run = client.succeed(prompt)
    assert run.text("verdict").startswith(f"Cannot tell whether {any_decoder.removesuffix('.safetensors')} made it\n")
    assert "Next: Connect vae, or set threshold or belonging_losses." in run.text("verdict")
    assert (run.text("belongs"), run.text("answer")) == ("False", "inconclusive")


def test_second_run_is_cached_whole(any_decoder: str, client: Client, photographs: Photographs) -> None:
    prompt = trace(any_decoder, photographs(3))
    first, second = client.succeed(prompt), client.succeed(prompt)
    assert second.cached == set(prompt)
    # Older servers leave cached results out of the history.
    assert second.outputs in ({}, first.outputs)


def test_new_threshold_does_not_invert_again(any_decoder: str, client: Client, photographs: Photographs) -> None:
    image = photographs(3)
    client.succeed(trace(any_decoder, image))
    again = client.succeed(trace(any_decoder, image, threshold=0.25))
    assert "invert" in again.cached
    assert "verdict" not in again.cached
    assert again.text("verdict").startswith(f"Made by {any_decoder.removesuffix('.safetensors')}: yes\n")


def test_rerun_gives_the_identical_score(any_decoder: str, client: Client, photographs: Photographs) -> None:
    prompt = trace(any_decoder, photographs(4), steps=8) | {
        "digest": node("ProbeDigest", latents=["invert", 1], image=["invert", 2])
    }
    first, second = client.succeed(prompt), rerun(client, prompt)
    assert second.text("score") == first.text("score")
    assert json.loads(second.text("digest")) == json.loads(first.text("digest"))


def test_progress_and_live_preview_arrive_while_it_runs(
    any_decoder: str, client: Client, photographs: Photographs
) -> None:
    steps, seen, previews = 40, [], 0
    with Events(client.url) as events:
        prompt_id = client.queue(trace(any_decoder, photographs(5), steps=steps), events.client_id)
        while True:
            event = events.next()
            if isinstance(event, bytes):
                # Four bytes of event kind, four of image kind, then a JPEG.
                assert Image.open(io.BytesIO(event[8:])).format == "JPEG"
                previews += 1
            elif event["type"] == "progress" and event["data"]["node"] == "invert":
                seen.append((event["data"]["value"], event["data"]["max"]))
            elif event["type"] in ("execution_success", "execution_error", "execution_interrupted"):
                break
    assert client.wait(prompt_id).status == "success"
    # ComfyUI thins the messages out, but lets the first, the last and every preview through.
    values = [value for value, _ in seen]
    assert values == sorted(set(values))
    assert (values[0], values[-1]) == (1, steps)
    assert {total for _, total in seen} == {steps}
    assert len(values) > 3
    assert previews >= 1


def test_interrupt_stops_a_long_inversion_and_the_next_prompt_works(
    any_decoder: str, client: Client, photographs: Photographs
) -> None:
    image = photographs(6, 128, 128)
    with Events(client.url) as events:
        prompt_id = client.queue(trace(any_decoder, image, steps=5000), events.client_id)
        while True:
            event = events.next()
            if isinstance(event, bytes) or event["type"] != "progress" or event["data"]["node"] != "invert":
                continue
            if event["data"]["value"] >= 3:
                break
        began = time.monotonic()
        client.interrupt()
        run = client.wait(prompt_id, 60)
        seconds = time.monotonic() - began
    assert run.interrupted is not None
    assert run.interrupted["node_type"] == "LatentTracerInvert"
    assert run.error is None
    # One step takes well under a second; the rest is for a machine that is busy with other things.
    assert seconds < 15
    assert client.succeed(trace(any_decoder, image, steps=2)).text("score")


def test_vae_decodes_bit_identically_after_a_trace(decoder: str, client: Client, photographs: Photographs) -> None:
    def look(name: str, depends_on: list[Any]) -> Prompt:
        # Repeating once changes nothing but what the result depends on, hence when it runs.
        return {
            f"repeat {name}": node("RepeatLatentBatch", samples=depends_on, amount=1),
            f"decode {name}": node("VAEDecode", samples=[f"repeat {name}", 0], vae=["vae", 0]),
            f"digest {name}": node("ProbeDigest", vae=["vae", 0], image=[f"decode {name}", 0]),
        }

    start = sources(decoder, photographs(7)) | {"encoded": node("VAEEncode", pixels=["image", 0], vae=["vae", 0])}
    before = client.succeed(start | look("before", ["encoded", 0]))
    client.succeed(start | traced(["vae", 0], ["image", 0]))
    twice = {"twice": node("RepeatLatentBatch", samples=["encoded", 0], amount=1)}
    after = client.succeed(start | twice | look("after", ["twice", 0]))
    facts, later = (json.loads(run.text(f"digest {n}")) for run, n in ((before, "before"), (after, "after")))
    assert later == facts
    assert facts["gradients"] == 0


def test_latents_and_images_interoperate_with_core_nodes(
    decoder: str, client: Client, photographs: Photographs
) -> None:
    prompt = sources(decoder, photographs(8, 101, 83)) | {
        "encoded": node("VAEEncode", pixels=["image", 0], vae=["vae", 0]),
        "encode": node("LatentTracerEncode", vae=["vae", 0], image=["image", 0]),
        **traced(["vae", 0], ["image", 0], settings={"initial_latents": ["encoded", 0]}),
        "decoded": node("VAEDecode", samples=["invert", 1], vae=["vae", 0]),
        "their latents": node("ProbeDigest", latents=["encoded", 0]),
        "our latents": node("ProbeDigest", latents=["encode", 0]),
        "their image": node("ProbeDigest", image=["decoded", 0]),
        "our image": node("ProbeDigest", image=["invert", 2]),
        "save": node("SaveImage", images=["verdict", 4], filename_prefix="report"),
        "save reconstruction": node("SaveImage", images=["encode", 1], filename_prefix="first"),
    }
    run = client.succeed(prompt)
    assert run.text("our latents") == run.text("their latents")
    assert run.text("our image") == run.text("their image")
    assert picture(client, run.images("save")[0]).width >= 800
    assert picture(client, run.images("save reconstruction")[0]).size == (96, 80)


def test_server_reports_no_leak_and_no_error_of_ours(
    server: Server, client: Client, any_decoder: str, photographs: Photographs
) -> None:
    client.succeed(trace(any_decoder, photographs(9)))
    assert "memory leak" not in server.log.lower()


def test_batch_gets_one_verdict_per_image(any_decoder: str, client: Client, photographs: Photographs) -> None:
    image, other = photographs(10), photographs(11)
    alone = [client.succeed(trace(any_decoder, name)).text("score") for name in (image, other)]
    prompt = sources(any_decoder, image) | {
        "other": node("LoadImage", image=other),
        "batch": node("ImageBatch", image1=["image", 0], image2=["other", 0]),
        **traced(["vae", 0], ["batch", 0]),
        "answers": node("PreviewAny", source=["verdict", 1]),
    }
    run = client.succeed(prompt)
    report = run.text("verdict")
    assert "image 1 of 2" in report
    assert "image 2 of 2" in report
    assert len(run.images("verdict")) == 2
    assert run.texts("answers") == ["inconclusive"] * 2
    assert run.texts("score") == alone


def test_batch_with_different_answers_has_pictures_of_one_size(
    any_decoder: str, client: Client, photographs: Photographs
) -> None:
    flat = client.upload_image("flat.png", png(Image.new("RGB", (64, 64), (90, 120, 60))))
    prompt = sources(any_decoder, flat) | {
        "other": node("LoadImage", image=photographs(12)),
        "batch": node("ImageBatch", image1=["image", 0], image2=["other", 0]),
        **traced(["vae", 0], ["batch", 0]),
    }
    low, high = sorted(float(score) for score in client.succeed(prompt).texts("score"))
    # Known losses between the two, so that one is belonging and the other is not.
    middle = (low * high) ** 0.5
    known = ", ".join(repr(middle * (1 + 0.001 * i)) for i in range(16))
    prompt["verdict"]["inputs"]["belonging_losses"] = known
    run = client.succeed(prompt | {"answers": node("PreviewAny", source=["verdict", 1])})
    assert sorted(run.texts("answers")) == ["belonging", "non-belonging"]
    assert len({picture(client, image).size for image in run.images("verdict")}) == 1


def test_image_that_was_never_stored_is_traced_without_quantiser(
    any_decoder: str, client: Client, photographs: Photographs
) -> None:
    prompt = sources(any_decoder, photographs(13)) | {
        "encoded": node("VAEEncode", pixels=["image", 0], vae=["vae", 0]),
        "decoded": node("VAEDecode", samples=["encoded", 0], vae=["vae", 0]),
        **traced(["vae", 0], ["decoded", 0]),
    }
    assert "stored by: none" in client.succeed(prompt).text("verdict")
    stored = client.succeed(trace(any_decoder, photographs(13))).text("verdict")
    assert "stored by: round" in stored or "stored by: floor" in stored


def test_size_off_the_grid_is_cropped_and_reported(any_decoder: str, client: Client, photographs: Photographs) -> None:
    report = client.succeed(trace(any_decoder, photographs(14, 101, 75))).text("verdict")
    assert "crop: 96×72 at (2, 1) of 101×75" in report


def test_alpha_of_a_file_is_dropped(any_decoder: str, client: Client, photographs: Photographs) -> None:
    """Load Image itself separates the alpha; the colours under it are what is traced."""
    opaque, transparent = (
        client.succeed(trace(any_decoder, photographs(15, mode=mode))).text("score") for mode in ("RGB", "RGBA")
    )
    assert transparent == opaque


def test_alpha_in_an_image_is_dropped_with_a_note(any_decoder: str, client: Client, photographs: Photographs) -> None:
    prompt = sources(any_decoder, photographs(15, mode="RGBA")) | {
        "rgba": node("JoinImageWithAlpha", image=["image", 0], alpha=["image", 1]),
        "encode": node("LatentTracerEncode", vae=["vae", 0], image=["rgba", 0]),
        **traced(["vae", 0], ["rgba", 0], settings={"initial_latents": ["encode", 0]}),
    }
    run = client.succeed(prompt)
    assert "note: transparency was dropped" in run.text("verdict")
    assert run.text("score") == client.succeed(trace(any_decoder, photographs(15))).text("score")
