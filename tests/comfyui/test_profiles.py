"""Calibrate Trace, Load Trace Profile, Trace Image and Attribute Image on a running server."""

from __future__ import annotations

import dataclasses
import json
import re
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from latent_tracer.core import load_profile
from latent_tracer.core.profiles import HANDED_OVER, save_profile
from PIL import Image

from .client import Client, Events, PromptRejectedError
from .conftest import available, png
from .prompts import attribution, calibration, node, trace_image
from .test_wrong_inputs import sentence

Photographs = Callable[..., str]
DecodedBy = Callable[..., str]
ProfileOf = Callable[[str], str]


@pytest.fixture(params=["demo-a.safetensors", "taesd"])
def calibrated(request: pytest.FixtureRequest, client: Client) -> str:
    """A decoder to calibrate: one that comes with the pack and, where there are any, a real one."""
    return available(request.param, client)


@pytest.fixture(scope="session")
def demo(client: Client) -> str:
    return available("demo-a.safetensors", client)


@pytest.fixture(scope="session")
def other_demo(client: Client) -> str:
    return available("demo-b.safetensors", client)


@pytest.fixture(scope="session")
def profiles(base_directory: Path) -> Path:
    return base_directory / "models" / "latent_trace"


def offered(client: Client) -> list[str]:
    return client.choices("LatentTracerLoadProfile", "profile_name")


def files(profiles: Path) -> list[str]:
    return sorted(path.name for path in profiles.iterdir())


def progress_texts(events: Events, node_id: str) -> list[str]:
    """What is shown on the node while the prompt runs, until it ends. Of a binary event the first four bytes are its
    kind, 3 for text, then comes the node's name after its length, then the text."""
    told = []
    while True:
        event = events.next()
        if isinstance(event, bytes):
            kind, length = struct.unpack(">II", event[:8])
            if kind == 3 and event[8 : 8 + length] == node_id.encode():
                told.append(event[8 + length :].decode())
        elif event["type"] in ("execution_success", "execution_error"):
            return told


def test_calibration_is_saved_and_offered(calibrated: str, client: Client, folder: str, profiles: Path) -> None:
    name = f"new {calibrated}"
    assert f"{name}.json" not in offered(client)
    report = client.succeed(calibration(calibrated, folder, name)).text("calibrate")
    assert f"saved as {name}.json" in report
    assert "8 of 8 pictures counted" in report
    # 8 photographs, however many versions of each other decoders make: 1/9 on average, and 1 - 0.05^(1/8) at most.
    assert "false-positive rate 11 % on average, with 95 % confidence at most 31 %" in report
    assert "8 independent pictures support a false-positive rate of 11 % on average, not 1.0 %: that takes 99" in (
        report
    )
    assert f"{name}.json" in offered(client)
    record = json.loads((profiles / f"{name}.json").read_text(encoding="utf-8"))
    assert record["image_sizes"] == [56, 72]
    assert not [file for file in files(profiles) if not file.endswith(".json")]


def test_profile_tells_the_decoders_own_image_from_the_photograph(
    calibrated: str, client: Client, photographs: Photographs, decoded_by: DecodedBy, profile_of: ProfileOf
) -> None:
    profile = profile_of(calibrated)
    own = client.succeed(trace_image(calibrated, decoded_by(calibrated, 20, 96, 96), profile))
    assert own.text("answers") == "belonging"
    assert own.text("belongs") == "True"
    assert re.search(
        r"(?m)^BELONGING: .*; false-positive rate 11 % on average, with 95 % confidence at most 31 %, p = 0\.111;"
        r" calibration made on this machine\)",
        own.text("trace"),
    )
    foreign = client.succeed(trace_image(calibrated, photographs(20, 96, 96), profile))
    assert foreign.text("answers") in ("non-belonging", "inconclusive")
    assert foreign.text("belongs") == "False"
    if foreign.text("answers") == "non-belonging":
        assert "; false-negative rate 11 % on average, with 95 % confidence at most 31 %, p = " in foreign.text("trace")


def test_a_profile_that_somebody_handed_over_is_called_so(
    demo: str, client: Client, decoded_by: DecodedBy, profile_of: ProfileOf, profiles: Path
) -> None:
    known = load_profile(profiles / profile_of(demo))
    handed = dataclasses.replace(known, calibrated_on="photographs of somebody's", calibration=HANDED_OVER)
    save_profile(handed, profiles / "handed over.json")
    run = client.succeed(trace_image(demo, decoded_by(demo, 20, 96, 96), "handed over.json"))
    assert "calibration handed over, as true as whoever made it" in run.text("trace")
    assert "handed over: it is as true as whoever made it" in run.text("trace").splitlines()[1]


def test_without_a_profile_a_belonging_states_its_rate(
    decoder: str, client: Client, photographs: Photographs, decoded_by: DecodedBy
) -> None:
    for image in (decoded_by(decoder, 21, 128, 128), photographs(21, 128, 128)):
        run = client.succeed(trace_image(decoder, image))
        report = run.text("trace")
        if "measured on 5 other decoders, not on this one" in report:
            assert "nobody calibrated this decoder" in report
            assert image.startswith("decoded") or run.text("answers") != "belonging"
            continue
        # A profile that ships was used, and the report says so.
        assert "the one that ships for this VAE was used" in report
        if run.text("answers") == "belonging":
            rate = r"false-positive rate [\d.]+ % on average, with 95 % confidence at most [\d.]+ %"
            assert re.search(rate + ".*; calibration shipped with this program", report)
        assert image.startswith("decoded") or run.text("answers") != "belonging"


def test_second_run_is_cached_whole(demo: str, client: Client, folder: str, profiles: Path) -> None:
    prompt = calibration(demo, folder, "cached")
    prompt["again"] = node("PreviewAny", source=["calibrate", 1])
    client.succeed(prompt)
    written = (profiles / "cached.json").stat().st_mtime_ns
    assert client.succeed(prompt).cached == set(prompt)
    assert (profiles / "cached.json").stat().st_mtime_ns == written


def test_loaded_profile_is_cached_until_the_file_changes(
    demo: str, client: Client, folder: str, decoded_by: DecodedBy
) -> None:
    client.succeed(calibration(demo, folder, "changing"))
    prompt = trace_image(demo, decoded_by(demo, 22, 64, 64), "changing.json")
    client.succeed(prompt)
    assert client.succeed(prompt).cached == set(prompt)
    client.succeed(calibration(demo, folder, "changing", fpr=0.25))
    again = client.succeed(prompt)
    assert not {"profile", "trace"} & again.cached
    assert "false-positive rate 22 % on average" in again.text("trace")


def test_profile_in_the_graph_is_the_one_in_the_file(
    demo: str, client: Client, folder: str, decoded_by: DecodedBy
) -> None:
    image = decoded_by(demo, 23, 64, 64)
    graph = calibration(demo, folder, "graph") | trace_image(demo, image)
    graph["trace"]["inputs"]["profile"] = ["calibrate", 0]
    report = client.succeed(graph).text("trace")
    loaded = client.succeed(trace_image(demo, image, "graph.json")).text("trace")
    assert loaded.splitlines()[:4] == report.splitlines()[:4]


def test_condition_is_calibrated_and_named(
    demo: str, client: Client, folder: str, decoded_by: DecodedBy, profiles: Path
) -> None:
    client.succeed(calibration(demo, folder, "jpeg", condition="jpeg-90"))
    assert json.loads((profiles / "jpeg.json").read_text())["condition"] == "jpeg-90"
    run = client.succeed(trace_image(demo, decoded_by(demo, 24, 64, 64), "jpeg.json"))
    assert "assumed condition: jpeg-90" in run.text("trace")


def test_an_image_resized_in_the_graph_is_found_by_a_profile_for_that_resize(
    demo: str, client: Client, folder: str, photographs: Photographs, decoded_by: DecodedBy, profiles: Path
) -> None:
    client.succeed(calibration(demo, folder, "smaller", condition="resize-0.75"))
    assert json.loads((profiles / "smaller.json").read_text())["score"] == "grid-contrast-resized-0.75"
    answers = []
    for image in (decoded_by(demo, 26, 96, 96), photographs(26, 96, 96)):
        graph = trace_image(demo, image, "smaller.json")
        graph["scaled"] = node("ImageScaleBy", image=["image", 0], upscale_method="lanczos", scale_by=0.75)
        graph["trace"]["inputs"]["image"] = ["scaled", 0]
        run = client.succeed(graph)
        answers.append(run.text("answers"))
        assert "assumed condition: resize-0.75" in run.text("trace")
    assert answers[0] == "belonging" and answers[1] != "belonging"


def test_really_generated_images_count_as_belonging(
    demo: str, client: Client, folder: str, decoded_by: DecodedBy, profiles: Path
) -> None:
    prompt = calibration(demo, folder, "generated") | {"image": node("LoadImage", image=decoded_by(demo, 25, 64, 64))}
    client.succeed(prompt)
    without = json.loads((profiles / "generated.json").read_text())
    prompt["calibrate"]["inputs"]["generated"] = ["image", 0]
    client.succeed(prompt)
    record = json.loads((profiles / "generated.json").read_text())
    # One is too few for a source of its own, which the report says.
    assert (record["pictures_given"], record["belonging"]) == (without["pictures_given"] + 1, without["belonging"])
    assert record["others"] == without["others"]
    assert any("fewer than 5 really generated" in note for note in record["notes"])
    for number in range(1, 5):
        prompt[f"image {number}"] = node("LoadImage", image=decoded_by(demo, 25 + number, 64, 64))
        before = prompt["calibrate"]["inputs"]["generated"]
        prompt[f"batch {number}"] = node("ImageBatch", image1=before, image2=[f"image {number}", 0])
        prompt["calibrate"]["inputs"]["generated"] = [f"batch {number}", 0]
    client.succeed(prompt)
    record = json.loads((profiles / "generated.json").read_text())
    (added,) = (source for source in record["belonging"] if source["kind"] == "generated")
    assert len(added["scores"]) == 5
    assert [source for source in record["belonging"] if source is not added] == without["belonging"]


def test_vae_is_untouched_by_calibration_and_attribution(
    demo: str, client: Client, folder: str, photographs: Photographs
) -> None:
    def look(name: str) -> dict[str, Any]:
        prompt = {"vae": node("VAELoader", vae_name=demo), name: node("ProbeDigest", vae=["vae", 0])}
        return json.loads(client.succeed(prompt).text(name))

    before = look("before")
    client.succeed(calibration(demo, folder, "untouched"))
    prompt = attribution(photographs(26), [(demo, "untouched.json")])
    prompt["attribute"]["inputs"]["vae_1"] = ["vae", 0]
    client.succeed(prompt | {"vae": node("VAELoader", vae_name=demo)})
    after = look("after")
    assert after["weights"] == before["weights"]
    assert after["gradients"] == 0


def test_alpha_is_dropped_with_a_note(
    demo: str, client: Client, photographs: Photographs, profile_of: ProfileOf
) -> None:
    plain = client.succeed(trace_image(demo, photographs(27), profile_of(demo)))
    prompt = trace_image(demo, photographs(27, mode="RGBA"), profile_of(demo))
    prompt["rgba"] = node("JoinImageWithAlpha", image=["image", 0], alpha=["image", 1])
    prompt["trace"]["inputs"]["image"] = ["rgba", 0]
    run = client.succeed(prompt)
    assert "note: transparency was dropped" in run.text("trace")
    assert run.text("trace").splitlines()[:4] == plain.text("trace").splitlines()[:4]


def test_batch_gets_one_answer_per_image(
    demo: str, client: Client, photographs: Photographs, decoded_by: DecodedBy, profile_of: ProfileOf
) -> None:
    prompt = trace_image(demo, decoded_by(demo, 28, 96, 96), profile_of(demo)) | {
        "other": node("LoadImage", image=photographs(28, 96, 96)),
        "batch": node("ImageBatch", image1=["image", 0], image2=["other", 0]),
        "attribute": node("LatentTracerAttributeImage", image=["batch", 0], vae_1=["vae", 0], profile_1=["profile", 0]),
        "which": node("PreviewAny", source=["attribute", 0]),
    }
    prompt["trace"]["inputs"]["image"] = ["batch", 0]
    run = client.succeed(prompt)
    first, second = run.texts("answers")
    assert first == "belonging"
    assert second != "belonging"
    assert len(run.images("trace")) == 2
    assert "image 1 of 2" in run.text("trace") and "image 2 of 2" in run.text("trace")
    assert run.texts("which") == ["1", "0"]


def test_attribution_names_the_candidate_or_none(
    client: Client,
    demo: str,
    other_demo: str,
    taesd: str,
    photographs: Photographs,
    decoded_by: DecodedBy,
    profile_of: ProfileOf,
) -> None:
    candidates: list[tuple[str, str | None]] = [(name, profile_of(name)) for name in (demo, taesd, other_demo)]
    for number, (decoder, _) in enumerate(candidates, start=1):
        run = client.succeed(attribution(decoded_by(decoder, 29, 96, 96), candidates))
        assert run.text("answer") == str(number), run.text("attribute")
        assert run.text("attribute").startswith(f"image 1: Made by {decoder.removesuffix('.safetensors')}. ")
        assert f"\n  {decoder} (" in run.text("attribute")
    run = client.succeed(attribution(photographs(29, 96, 96), candidates))
    assert run.text("answer") == "0", run.text("attribute")
    report = run.text("attribute")
    assert report.startswith(("image 1: No trace of any of them here", "image 1: Cannot tell which made it"))
    assert "no candidate" in report and all(f"\n  {name}: " in report for name, _ in candidates)
    assert "limits: " in report


def test_one_socket_carries_profiles_for_several_conditions(
    client: Client, demo: str, other_demo: str, folder: str, decoded_by: DecodedBy, profile_of: ProfileOf
) -> None:
    client.succeed(calibration(demo, folder, "for jpeg", condition="jpeg-90"))
    prompt = trace_image(demo, decoded_by(demo, 20, 96, 96), profile_of(demo))
    prompt["both"] = node("LatentTracerLoadProfile", profile_name="for jpeg.json", with_profile=["profile", 0])
    prompt["trace"]["inputs"]["profile"] = ["both", 0]
    run = client.succeed(prompt)
    assert "assumed condition: clean" in run.text("trace") and run.text("answers") == "belonging"
    assert "condition jpeg-90; " in run.text("both") and "\ncondition clean; " in run.text("both")
    assert run.images("both")
    prompt["both"]["inputs"]["profile_name"] = profile_of(demo)
    assert "Two of the profiles are for the condition clean" in sentence(client.fail(prompt), "InvalidProfileError")
    prompt["both"]["inputs"]["profile_name"] = profile_of(other_demo)
    assert "connect profiles of one VAE" in sentence(client.fail(prompt), "InvalidProfileError")


def test_a_new_calibration_is_one_profile_for_clean_pictures_and_jpeg_files(
    client: Client, demo: str, folder: str, decoded_by: DecodedBy, base_directory: Path, profiles: Path
) -> None:
    with Events(client.url) as events:
        prompt_id = client.queue(calibration(demo, folder, "several", condition=None), events.client_id)
        told = progress_texts(events, "calibrate")
    run = client.wait(prompt_id, 600)
    report = run.text("calibrate")
    assert all(f"condition {condition}, " in report for condition in ("clean", "jpeg-90", "jpeg-75"))
    assert json.loads((profiles / "several.json").read_text(encoding="utf-8"))["version"] == 3
    assert "for clean, jpeg-90 and jpeg-75: " in told[0] and " scores of each of 8 photographs" in told[0]
    assert re.search(r"about \d+ (s|min) for 7 more photographs on this device", told[1])
    assert re.search(r"about \d+ (s|min) for 1 more photograph on this device", told[-1])
    own = decoded_by(demo, 20, 96, 96)
    files = {"clean": own, "jpeg-90": "several-90.jpg", "jpeg-75": "several-75.jpg"}
    for condition, image in files.items():
        if image != own:
            with Image.open(base_directory / "input" / own) as picture:
                picture.convert("RGB").save(base_directory / "input" / image, quality=int(condition[-2:]))
        run = client.succeed(trace_image(demo, image, "several.json"))
        assert f"assumed condition: {condition}" in run.text("trace")
        assert run.text("answers") == "belonging", run.text("trace")
        if image == own:  # what was loaded once is cached, and not told again
            assert run.images("profile") and run.text("profile").count("\ncondition ") == 2
    regions = trace_image(demo, files["jpeg-90"], "several.json")
    regions["regions"] = node(
        "LatentTracerFindForeignRegions", vae=["vae", 0], image=["image", 0], profile=["profile", 0]
    )
    assert "of wholly belonging pictures show any region" in client.succeed(regions).text("regions")


def test_same_vae_twice_is_a_tie(demo: str, client: Client, decoded_by: DecodedBy, profile_of: ProfileOf) -> None:
    run = client.succeed(attribution(decoded_by(demo, 30, 96, 96), [(demo, profile_of(demo))] * 2))
    assert run.text("answer") == "0"
    assert f"{demo} (vae_1) and {demo} (vae_2) explain it equally well" in run.text("attribute")


def test_attribution_is_cached(demo: str, client: Client, photographs: Photographs, profile_of: ProfileOf) -> None:
    prompt = attribution(photographs(31), [(demo, profile_of(demo))])
    client.succeed(prompt)
    assert client.succeed(prompt).cached == set(prompt)


def test_interrupted_calibration_stops_in_seconds_and_leaves_only_what_it_measured(
    demo: str, client: Client, base_directory: Path, profiles: Path, folder: str
) -> None:
    many = base_directory / "input" / "many"
    many.mkdir()
    for number in range(100):
        Image.effect_noise((256, 256), 60 + number / 10).convert("RGB").save(many / f"{number}.png")
    before = files(profiles)
    with Events(client.url) as events:
        prompt_id = client.queue(calibration(demo, "many", "interrupted"), events.client_id)
        while True:
            event = events.next()
            if isinstance(event, bytes) or event["type"] != "progress" or event["data"]["node"] != "calibrate":
                continue
            if event["data"]["value"] >= 2:
                break
        began = time.monotonic()
        client.interrupt()
        run = client.wait(prompt_id, 60)
        seconds = time.monotonic() - began
    assert run.interrupted is not None
    assert run.interrupted["node_type"] == "LatentTracerCalibrate"
    assert run.error is None
    assert seconds < 15
    unfinished = "interrupted.json.unfinished.jsonl"
    assert set(files(profiles)) - set(before) == {unfinished}
    kept = len((profiles / unfinished).read_text(encoding="utf-8").splitlines())
    assert 2 <= kept < 600
    # Other photographs under that name: what was measured does not fit, and the profile takes its place.
    client.succeed(calibration(demo, folder, "interrupted"))
    assert set(files(profiles)) - set(before) == {"interrupted.json"}
    assert "interrupted.json" in client.choices("LatentTracerLoadProfile", "profile_name")


def test_only_profiles_are_offered(client: Client, profiles: Path) -> None:
    strangers = ("notes.txt", "half.json.part", "weights.safetensors")
    for name in strangers:
        (profiles / name).write_bytes(b"stranger")
    try:
        assert not set(strangers) & set(offered(client))
    finally:
        for name in strangers:
            (profiles / name).unlink()


def test_deleted_folder_is_no_error(
    demo: str, client: Client, folder: str, profiles: Path, profile_of: ProfileOf, tmp_path: Path
) -> None:
    profile_of(demo)
    aside = tmp_path / "aside"
    assert offered(client)
    profiles.rename(aside)
    try:
        assert offered(client) == []
        # Anything but the cached prompt of another test.
        client.succeed(calibration(demo, folder, "made anew", fpr=0.07))
        assert offered(client) == ["made anew.json", "zz-latent-tracer-demo-a.json"]
    finally:
        for path in profiles.iterdir() if profiles.exists() else []:
            path.rename(aside / path.name)
        if profiles.exists():
            profiles.rmdir()
        aside.rename(profiles)


@pytest.mark.parametrize(
    "name",
    ["../escape", "a/../../escape", "/etc/passwd", "..", "", ".hidden", "a\\b", "x\x00y", "new\nline", "é" * 120, "~"],
)
def test_name_that_is_no_name_is_refused_before_any_work(
    name: str, demo: str, client: Client, folder: str, base_directory: Path, profiles: Path
) -> None:
    before = files(profiles)
    said = sentence(client.fail(calibration(demo, folder, name)), "InvalidSettingError")
    assert "cannot name a profile" in said
    assert files(profiles) == before
    assert not list(base_directory.rglob("*escape*"))


def test_link_out_of_the_folder_is_not_written_through(
    demo: str, client: Client, folder: str, profiles: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target.json"
    link = profiles / "linked.json"
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("no right to make links")
    try:
        said = sentence(client.fail(calibration(demo, folder, "linked")), "InvalidSettingError")
        assert "points outside the profiles folder" in said
        assert not target.exists()
    finally:
        link.unlink()


def test_profile_of_another_vae_is_not_overwritten(
    demo: str, other_demo: str, client: Client, folder: str, profile_of: ProfileOf, profiles: Path
) -> None:
    name = profile_of(demo)
    before = (profiles / name).read_bytes()
    said = sentence(client.fail(calibration(other_demo, folder, name)), "InvalidSettingError")
    assert f"The name {name} is taken by another VAE's profile" in said
    assert (profiles / name).read_bytes() == before


def test_profile_of_another_vae_is_refused(
    demo: str, other_demo: str, client: Client, photographs: Photographs, profile_of: ProfileOf
) -> None:
    image, profile = photographs(32), profile_of(demo)
    said = sentence(client.fail(trace_image(other_demo, image, profile)), "InvalidProfileError")
    assert "not for this decoder" in said
    assert "calibrate this one, or load the profile's own VAE" in said
    prompt = attribution(image, [(demo, profile), (other_demo, profile)])
    said = sentence(client.fail(prompt), "InvalidProfileError")
    assert said.startswith("Candidate 2: The profile was calibrated for")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record["limits"].update(own_grid=None), "was changed or damaged"),
        (lambda record: record.update(fpr=1e-9), "was changed or damaged"),
        (lambda record: record.update(version=99), "has profile version 99"),
        (lambda record: record.pop("belonging"), "lacks or adds fields (belonging)"),
        (lambda record: record.update(format="a workflow"), "is not a Latent Tracer profile"),
        (None, "is no readable JSON profile"),
    ],
    ids=["limits", "rate", "newer", "field missing", "foreign", "no JSON"],
)
def test_profile_that_cannot_be_trusted_is_refused(
    change: Callable[[dict[str, Any]], Any] | None,
    message: str,
    demo: str,
    client: Client,
    photographs: Photographs,
    profile_of: ProfileOf,
    profiles: Path,
) -> None:
    text = (profiles / profile_of(demo)).read_text(encoding="utf-8")
    if change is not None:
        record = json.loads(text)
        change(record)
        text = json.dumps(record)
    else:
        text = text[: len(text) // 2]
    edited = profiles / "edited.json"
    edited.write_text(text, encoding="utf-8")
    try:
        error = client.fail(trace_image(demo, photographs(33), edited.name))
    finally:
        edited.unlink()
    assert error["node_type"] == "LatentTracerLoadProfile"
    said = sentence(error, "InvalidProfileError")
    assert said.startswith(f"The profile {edited.name} ")
    assert message in said


@pytest.mark.parametrize("name", ["no such.json", "../../../etc/passwd", ""])
def test_profile_that_is_not_there(name: str, demo: str, client: Client, photographs: Photographs) -> None:
    error = client.fail(trace_image(demo, photographs(33), name))
    assert "run Calibrate Trace first" in sentence(error, "InvalidProfileError")


def test_too_few_photographs(demo: str, client: Client, photographs: Photographs, profiles: Path) -> None:
    before = files(profiles)
    prompt = {
        "vae": node("VAELoader", vae_name=demo),
        "image": node("LoadImage", image=photographs(34)),
        "calibrate": node("LatentTracerCalibrate", vae=["vae", 0], photographs=["image", 0], name="one"),
    }
    said = sentence(client.fail(prompt), "InvalidSettingError")
    assert "at least 5 readable photographs, got 1: add more" in said
    assert files(profiles) == before


@pytest.mark.parametrize(("kind", "message"), [("NaN", "NaN or infinite"), ("grey", "1 channels")])
def test_photographs_that_cannot_be_used_are_named(
    kind: str, message: str, demo: str, client: Client, profiles: Path
) -> None:
    before = files(profiles)
    prompt = {
        "vae": node("VAELoader", vae_name=demo),
        "photographs": node("ProbeImage", kind=kind),
        "calibrate": node("LatentTracerCalibrate", vae=["vae", 0], photographs=["photographs", 0], name="bad"),
    }
    said = sentence(client.fail(prompt), "InvalidSettingError")
    assert said.startswith("Only 0 photographs can be used, 5 are needed. Photograph 1 of 1 was left out.")
    assert message in said
    assert files(profiles) == before


def test_bad_photograph_among_good_ones_is_left_out_and_listed(demo: str, client: Client, base_directory: Path) -> None:
    mixed = base_directory / "input" / "with a small one"
    mixed.mkdir()
    for number in range(6):
        side = 5 if number == 3 else 64
        Image.effect_noise((side, side), 40 + number).convert("RGB").save(mixed / f"{number}.png")
    report = client.succeed(calibration(demo, mixed.name, "small")).text("calibrate")
    assert "5 of 5 pictures counted" in report
    assert re.search(r"\nPhotograph \d of 6 was left out. The image is 5×5 pixels", report)


@pytest.mark.parametrize(("name", "value"), [("fpr", 0), ("fpr", 0.9), ("condition", "fax")])
def test_setting_outside_its_range_is_refused_by_name(
    name: str, value: Any, demo: str, client: Client, folder: str
) -> None:
    with pytest.raises(PromptRejectedError) as refused:
        client.queue(calibration(demo, folder, "refused", **{name: value}))
    (error,) = refused.value.node_errors["calibrate"]["errors"]
    assert error["extra_info"]["input_name"] == name


@pytest.mark.parametrize(
    ("vae", "message"),
    [
        (node("VAELoader", vae_name="pixel_space"), "pixel_space is the identity"),
        (node("ProbeVAE", kind="nothing"), "No VAE is connected"),
        (node("ProbeVAE", kind="audio"), "audio"),
    ],
    ids=["pixel space", "nothing", "audio"],
)
def test_vae_that_cannot_be_used(
    vae: dict[str, Any], message: str, demo: str, client: Client, folder: str, photographs: Photographs
) -> None:
    calibrating = calibration(demo, folder, "no vae") | {"vae": vae}
    assert message in sentence(client.fail(calibrating), "UnsupportedAutoencoderError")
    tracing = trace_image(demo, photographs(35)) | {"vae": vae}
    assert message in sentence(client.fail(tracing), "UnsupportedAutoencoderError")
    attributing = attribution(photographs(35), [(demo, None)]) | {"vae 1": vae}
    said = sentence(client.fail(attributing), "UnsupportedAutoencoderError")
    assert message in said
    assert said.startswith("Candidate 1: ")


def test_profile_without_its_vae_is_refused(
    demo: str, client: Client, photographs: Photographs, profile_of: ProfileOf
) -> None:
    prompt = attribution(photographs(36), [(demo, profile_of(demo)), (demo, profile_of(demo))])
    del prompt["attribute"]["inputs"]["vae_2"]
    assert sentence(client.fail(prompt), "UnsupportedAutoencoderError").startswith("Candidate 2: No VAE is connected")


@pytest.mark.parametrize(("kind", "message"), [("NaN", "NaN or infinite"), ("empty", "empty"), ("no tensor", "IMAGE")])
def test_image_that_cannot_be_traced(kind: str, message: str, demo: str, client: Client, profile_of: ProfileOf) -> None:
    image = {"image": node("ProbeImage", kind=kind)}
    for prompt in (trace_image(demo, "", profile_of(demo)), attribution("", [(demo, profile_of(demo))])):
        assert message in sentence(client.fail(prompt | image), "InvalidImageError")


def test_flat_picture_in_a_batch_is_inconclusive_and_costs_the_others_nothing(
    demo: str, client: Client, photographs: Photographs, profile_of: ProfileOf
) -> None:
    """A picture without content is explained by every decoder."""
    flat = client.upload_image("flat.png", png(Image.new("RGB", (64, 64), (90, 120, 60))))
    prompt = trace_image(demo, photographs(37), profile_of(demo)) | {
        "flat": node("LoadImage", image=flat),
        "batch": node("ImageBatch", image1=["image", 0], image2=["flat", 0]),
    }
    prompt["trace"]["inputs"]["image"] = ["batch", 0]
    run = client.succeed(prompt)
    assert len(run.texts("answers")) == 2 and run.texts("answers")[1] == "inconclusive"
    assert "The image is flat" in run.text("trace")
