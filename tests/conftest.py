"""Small autoencoders with known answers, and the data folder with the real decoders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import settings
from latent_tracer.core import (
    Attribution,
    ModuleAutoencoder,
    Picture,
    Profile,
    Tracer,
    Verdict,
    load_autoencoder,
    verdict_from_profile,
)
from latent_tracer.core.verdicts.attribution import Judged, decide
from latent_tracer.core.verdicts.doubt import History
from torch import Tensor, nn
from torch.nn import Conv2d, ConvTranspose2d

# No deadline: these tests must not fail because the machine is busy. No randomness: a failure must repeat.
settings.register_profile("latent-tracer", deadline=None, derandomize=True)
settings.load_profile("latent-tracer")

REPOSITORY = Path(__file__).resolve().parent.parent
_CLOSING_LINES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Share the cores among the workers of a parallel run: more threads than cores cost many times what they save."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        threads = max(1, (os.cpu_count() or 1) // workers)
        torch.set_num_threads(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)  # for the programs that tests start
    config.stash[_CLOSING_LINES] = []


@pytest.fixture(autouse=True, scope="session")
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No test, nor a program that one starts, writes to the user's own state folder."""
    folder = tmp_path_factory.mktemp("state")
    os.environ["LATENT_TRACER_HOME"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def closing_line(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """``closing_line(text)``: a line for the end of the whole run, also from the worker of a parallel one."""

    def add(text: str) -> None:
        if hasattr(pytestconfig, "workeroutput"):
            pytestconfig.workeroutput["closing_line"] = text
        else:
            pytestconfig.stash[_CLOSING_LINES].append(text)

    return add


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    line = getattr(node, "workeroutput", {}).get("closing_line")
    if line is not None and line not in node.config.stash[_CLOSING_LINES]:
        node.config.stash[_CLOSING_LINES].append(line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash[_CLOSING_LINES]:
        terminalreporter.write_line(line)


@pytest.fixture(scope="module", autouse=True)
def search_before_a_no(request: pytest.FixtureRequest) -> Iterator[None]:
    """A hundred looks before every no would be most of the time of all tests: only two files take them.

    Commands that run in a process of their own do, too.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name not in ("test_refusal.py", "test_placed.py"):
            patch.setattr("latent_tracer.core.tracing.refusal.search_placements", lambda *_: None)
        yield


class LinearPatches(nn.Module):
    """D(z) = W z + 0.5 on patches of 8×8 pixels; the encoder is W's pseudo-inverse, a little wrong."""

    ratio = 8

    def __init__(self, singular_values: list[float], encoder_error: float = 0.3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        pixels, channels = 3 * self.ratio**2, len(singular_values)
        left = torch.linalg.qr(torch.randn(pixels, channels, generator=generator)).Q
        right = torch.linalg.qr(torch.randn(channels, channels, generator=generator)).Q
        matrix = left @ torch.diag(torch.tensor(singular_values)) @ right
        inverse = torch.linalg.pinv(matrix)
        inverse = inverse + encoder_error * inverse.std() * torch.randn(inverse.shape, generator=generator)
        self.matrix = nn.Parameter(matrix)  # [3·8·8, C]
        self.inverse = nn.Parameter(inverse)  # [C, 3·8·8]

    def encode(self, images: Tensor) -> Tensor:
        return F.conv2d(images - 0.5, self.inverse.view(-1, 3, self.ratio, self.ratio), stride=self.ratio)

    def decode(self, latents: Tensor) -> Tensor:
        kernels = self.matrix.T.reshape(-1, 3, self.ratio, self.ratio)
        return F.conv_transpose2d(latents, kernels, stride=self.ratio) + 0.5

    def least_squares(self, images: Tensor) -> Tensor:
        """The latents that minimise |D(z) - x|², in closed form and float64."""
        patches = F.unfold(images.double() - 0.5, self.ratio, stride=self.ratio)
        solution = torch.linalg.pinv(self.matrix.double()) @ patches
        return solution.view(len(images), -1, images.shape[2] // self.ratio, images.shape[3] // self.ratio)


class SmallConvolutional(nn.Module):
    """A nonlinear decoder with overlapping kernels, 8 pixels per cell; ``scale`` multiplies its latents only."""

    def __init__(self, channels: int = 4, scale: float = 1.0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.encoder = Conv2d(3, channels, 8, stride=8)
            self.decoder = nn.Sequential(
                Conv2d(channels, 16, 3, padding=1),
                nn.SiLU(),
                ConvTranspose2d(16, 16, 8, stride=8),
                nn.SiLU(),
                Conv2d(16, 3, 3, padding=1),
            )
        self.scale = scale

    def encode(self, images: Tensor) -> Tensor:
        return 4 * self.scale * self.encoder(images - 0.5)

    def decode(self, latents: Tensor) -> Tensor:
        return 0.5 + 4 * self.decoder(latents / self.scale)


class Packed(nn.Module):
    """The same decoder behind latents that hold ``cells``×``cells`` cells in the channels of one."""

    def __init__(self, inner: ModuleAutoencoder, cells: int) -> None:
        super().__init__()
        self.inner, self.cells = inner.module, cells
        self._encode, self._decode = inner.encode, inner.decode

    def encode(self, images: Tensor) -> Tensor:
        return F.pixel_unshuffle(self._encode(images), self.cells)

    def decode(self, latents: Tensor) -> Tensor:
        return self._decode(F.pixel_shuffle(latents, self.cells))


def _autoencoder(module: LinearPatches | SmallConvolutional) -> ModuleAutoencoder:
    return ModuleAutoencoder(type(module).__name__, module, module.encode, module.decode)


@pytest.fixture
def linear() -> Callable[..., ModuleAutoencoder]:
    """``linear(singular_values)``: an autoencoder whose inversion has a closed form; its module is LinearPatches."""
    return lambda *arguments, **settings: _autoencoder(LinearPatches(*arguments, **settings))


@pytest.fixture
def convolutional() -> Callable[..., ModuleAutoencoder]:
    """``convolutional(scale=…)``: a small nonlinear autoencoder."""
    return lambda **settings: _autoencoder(SmallConvolutional(**settings))


@pytest.fixture(scope="session")
def packed() -> Callable[..., ModuleAutoencoder]:
    """``packed("demo-a", cells=2)``: that decoder with 16 pixels a latent cell, and 8 as ever between its traces."""

    def make(name: str = "demo-a", cells: int = 2) -> ModuleAutoencoder:
        module = Packed(load_autoencoder(name), cells)
        return ModuleAutoencoder(f"{name}, packed {cells}×{cells}", module, module.encode, module.decode)

    return make


@pytest.fixture(scope="session")
def judge() -> Callable[..., Verdict]:
    """``judge(autoencoder, pixels, profile, lossy=…)``: the tracer's verdict on pixels of which no more is known."""

    def verdict(
        autoencoder: ModuleAutoencoder, pixels: Tensor, profile: Profile | None, *, lossy: bool = False
    ) -> Verdict:
        picture = Picture.of(pixels)
        facts = replace(picture.facts, lossy=lossy)
        return Tracer(autoencoder, profile or ()).trace(replace(picture, facts=facts)).verdict

    return verdict


@pytest.fixture(scope="session")
def decide_by_scores() -> Callable[..., Attribution]:
    """``decide_by_scores([(name, score, profile), …], history)``: the attribution among candidates with such scores."""

    def decided(entries: Sequence[tuple[str, float, Profile]], history: History | None = None) -> Attribution:
        return decide(
            [
                Judged(name, verdict_from_profile(float(score), profile, history=history), profile, history)
                for name, score, profile in entries
            ]
        )

    return decided


@pytest.fixture
def photographs() -> Callable[..., Tensor]:
    """``photographs(count, height, width)``: smooth pictures away from black and white, not on the 8-bit grid."""

    def make(count: int = 1, height: int = 32, width: int = 32) -> Tensor:
        coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(count + height + width))
        return 0.1 + 0.8 * F.interpolate(coarse, (height, width), mode="bilinear")

    return make


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with ``weights/`` and ``images/``: LATENT_TRACER_DATA, else ../shared beside the repository."""
    folder = Path(os.environ.get("LATENT_TRACER_DATA", REPOSITORY.parent / "shared"))
    if not (folder / "weights" / "index.tsv").is_file():
        pytest.skip(f"no real decoders in {folder}: set LATENT_TRACER_DATA to a folder with weights/ and images/")
    return folder
