"""Latent Tracer's core: tensors in, verdicts out; knows nothing of ComfyUI or of a terminal."""

from .autoencoder import Autoencoder, ModuleAutoencoder, weight_fingerprint
from .errors import (
    InvalidImageError,
    InvalidLatentError,
    InvalidSettingError,
    LatentTracerError,
    UnknownAutoencoderError,
    UnsupportedAutoencoderError,
)
from .grubbs import grubbs_critical, grubbs_threshold
from .images import Crop, LoadedImage, check_images, crop_to_grid, load_image, to_picture, to_tensor
from .inversion import Inversion, Step, invert
from .loading import load_autoencoder
from .objective import Objective, Passes
from .quantiser import ROUNDING_FLOOR, quantise, residual
from .solvers import SOLVERS, make_solver
from .synthetic import synthetic_photograph
from .verdict import LIMITS, Verdict, verdict_from_losses, verdict_from_threshold

__all__ = [
    "LIMITS",
    "ROUNDING_FLOOR",
    "SOLVERS",
    "Autoencoder",
    "Crop",
    "InvalidImageError",
    "InvalidLatentError",
    "InvalidSettingError",
    "Inversion",
    "LatentTracerError",
    "LoadedImage",
    "ModuleAutoencoder",
    "Objective",
    "Passes",
    "Step",
    "UnknownAutoencoderError",
    "UnsupportedAutoencoderError",
    "Verdict",
    "check_images",
    "crop_to_grid",
    "grubbs_critical",
    "grubbs_threshold",
    "invert",
    "load_autoencoder",
    "load_image",
    "make_solver",
    "quantise",
    "residual",
    "synthetic_photograph",
    "to_picture",
    "to_tensor",
    "verdict_from_losses",
    "verdict_from_threshold",
    "weight_fingerprint",
]
