"""Each calibration picture is perturbed by noise of its own: one for all would tie their scores together."""

from __future__ import annotations

import torch
from latent_tracer.core import calibrate, synthetic_photograph
from latent_tracer.core.calibration.latents import CalibrationStep
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.scores.protocol import Scored


class Recorder:
    """A score that keeps the pictures it is shown."""

    name = "recorder"

    def __init__(self) -> None:
        self.settings: dict[str, float | int | str | bool] = {}
        self.shown: list[torch.Tensor] = []
        self.by_source: dict[str, list[torch.Tensor]] = {}

    def __call__(self, autoencoder, image, window=None):
        self.shown.append(image.clone())
        return Scored(float(image.std()) + len(self.shown) / 1000, Passes(), "recorded")

    def step(self, step: CalibrationStep) -> None:
        self.by_source.setdefault(step.source, []).append(self.shown[-1])


def perturbations(autoencoder, seed: int) -> torch.Tensor:
    """``[n,m]``: what was added to the latents of each picture, of length 1."""
    recorder = Recorder()
    pictures = [0.3 + 0.4 * synthetic_photograph(number, 64, leaves=40) for number in range(6)]
    calibrate(autoencoder, recorder, pictures, histories=(), seed=seed, on_image=recorder.step)
    pairs = zip(recorder.by_source["decoded, perturbed"], recorder.by_source["decoded"], strict=True)
    with torch.no_grad():
        latents = torch.cat([(autoencoder.encode(one) - autoencoder.encode(other)).flatten(1) for one, other in pairs])
    return torch.nn.functional.normalize(latents - latents.mean(1, keepdim=True))


def test_every_calibration_picture_has_noise_of_its_own(linear):
    autoencoder = linear([6.0, 5.0, 4.0, 3.0], encoder_error=0.0)
    noise = perturbations(autoencoder, seed=0)
    alike = noise @ noise.T - torch.eye(len(noise))
    assert noise.shape == (6, 256) and float(alike.abs().max()) < 0.35  # independent: 1/16 typically
    # The same noise in every calibration with this seed, another one with another.
    again, other = perturbations(autoencoder, seed=0), perturbations(autoencoder, seed=1000)
    assert torch.equal(noise, again)
    assert float((noise * other).sum(1).abs().max()) < 0.35
