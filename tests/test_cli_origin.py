"""``origin`` and ``calibrate --generator``: exit codes, JSON on stdout, everything else on stderr."""

import json

import pytest
import torch
from commands import run
from latent_tracer.core import load_generator, synthetic_photograph, to_picture
from latent_tracer.core.calibration.origin import made_image
from latent_tracer.core.models.dcgan import DCGAN32
from PIL import Image
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two random generators of one architecture, images of both, and photographs."""
    folder = tmp_path_factory.mktemp("origin")
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = DCGAN32()
            for layer in module.modules():  # random weights of this size decode to a visible picture
                if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
                    torch.nn.init.normal_(layer.weight, 0, 0.06)
        save_file(module.state_dict(), folder / f"gan-{seed}.safetensors")
        generator = load_generator(folder / f"gan-{seed}.safetensors")
        to_picture(made_image(generator, 5000)).save(folder / f"made-{seed}.png")
    (folder / "photographs").mkdir()
    for seed in range(5):
        to_picture(synthetic_photograph(seed, 64)).save(folder / "photographs" / f"{seed}.png")
    Image.open(folder / "made-1.png").resize((40, 32)).save(folder / "wide.png")
    (folder / "broken.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def profile(folder):
    path = folder / "profile.json"
    done = run(
        "calibrate", "--generator", folder / "gan-1.safetensors", "--images", folder / "photographs",
        "--other", folder / "gan-2.safetensors", "--belonging", 5, "--starts", 1, "--steps", 6, "--fpr", 0.2,
        "--fnr", 0.2, "-o", path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "false-positive rate 17 % on average" in done.stdout
    return path


def test_images_are_judged_with_the_promised_fields(folder, profile):
    names = ("made-1.png", "made-2.png", "broken.png", "wide.png")
    images = [folder / name for name in names]
    done = run("origin", *images, "--generator", folder / "gan-1.safetensors", "--profile", profile, "--json")
    assert done.returncode == 2, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["verdict"] for row in rows] == ["belonging", "non-belonging", None, None]
    promised = {
        "image", "generator", "verdict", "score", "loss", "start_losses", "generator_images", "seconds", "solver",
        "seed", "p_value", "fpr", "condition", "stage", "grubbs", "quantiser", "notes", "fnr", "belonging_p_value",
    }  # fmt: skip
    assert promised <= rows[0].keys()
    assert rows[0]["grubbs"] == "belonging" and rows[0]["p_value"] <= rows[0]["fpr"] == 1 / 6
    assert 0.4 < rows[0]["fpr_bound"] == rows[0]["fnr_bound"] < 0.5 and rows[0]["fnr"] == 1 / 6
    assert rows[0]["calibration"] == "made on this machine" and rows[1]["belonging_p_value"] <= 1 / 6
    assert "broken.png" in rows[2]["error"] and "40×32 pixels" in rows[3]["error"]
    assert "Traceback" not in done.stderr


def test_without_a_profile_the_answer_stays_open_and_the_picture_is_drawn(folder, tmp_path):
    done = run(
        "origin", folder / "made-1.png", "--generator", folder / "gan-1.safetensors", "--starts", 1, "--steps", 3,
        "--picture", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "INCONCLUSIVE" in done.stdout and "no calibration for this generator" in done.stdout
    assert Image.open(tmp_path / "out" / "made-1_origin.png").width >= 800


def test_profiles_of_other_models_end_with_code_2_and_the_reason(folder, profile):
    other = run("origin", folder / "made-1.png", "--generator", folder / "gan-2.safetensors", "--profile", profile)
    assert other.returncode == 2 and "calibrated for the generator gan-1" in other.stderr
    traced = run("trace", folder / "made-1.png", "--vae", "demo-a", "--profile", profile)
    assert traced.returncode == 2 and "Scores called 'ronan' are those of a generator" in traced.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("origin", "made-1.png", "--generator", "nowhere.pt"), "no generator at nowhere.pt"),
        (("origin", "made-1.png", "--generator", "gan-1.safetensors", "--complexity", "magic"), "magic"),
        (("calibrate", "-o", "p.json"), "either --vae or --generator"),
        (("calibrate", "--vae", "demo-a", "-o", "p.json"), "--images"),
        (("calibrate", "--generator", "gan-1.safetensors", "-o", "p.json"), "no false-positive rate"),
    ],
)
def test_bad_settings_end_with_code_2_and_a_sentence_that_names_them(folder, arguments, named):
    local = [str(folder / a) if (folder / a).is_file() else a for a in arguments]
    done = run(*[str(folder / a) if a == "p.json" else a for a in local])
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "p.json").exists()
