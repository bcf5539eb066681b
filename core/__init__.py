"""Latent Tracer's core: tensors in, verdicts out; knows nothing of ComfyUI or of a terminal."""

from .attribution import Attribution, attribute
from .autoencoder import Autoencoder, ModuleAutoencoder, weight_fingerprint
from .calibration import calibrate
from .conditions import CONDITIONS, alter
from .entropy import two_dimensional_entropy
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
from .profile import InvalidProfileError, Profile, builtin_profile, load_profile
from .quantiser import ROUNDING_FLOOR, quantise, residual
from .scores import DEFAULT_SCORE, SCORES, Score, Scored, make_score
from .solvers import SOLVERS, make_solver
from .synthetic import synthetic_photograph
from .thresholds import Threshold, fit_threshold
from .verdict import LIMITS, Verdict, verdict_from_losses, verdict_from_profile, verdict_from_threshold

__all__ = [
    "CONDITIONS",
    "DEFAULT_SCORE",
    "LIMITS",
    "ROUNDING_FLOOR",
    "SCORES",
    "SOLVERS",
    "Attribution",
    "Autoencoder",
    "Crop",
    "InvalidImageError",
    "InvalidLatentError",
    "InvalidProfileError",
    "InvalidSettingError",
    "Inversion",
    "LatentTracerError",
    "LoadedImage",
    "ModuleAutoencoder",
    "Objective",
    "Passes",
    "Profile",
    "Score",
    "Scored",
    "Step",
    "Threshold",
    "UnknownAutoencoderError",
    "UnsupportedAutoencoderError",
    "Verdict",
    "alter",
    "attribute",
    "builtin_profile",
    "calibrate",
    "check_images",
    "crop_to_grid",
    "fit_threshold",
    "grubbs_critical",
    "grubbs_threshold",
    "invert",
    "load_autoencoder",
    "load_image",
    "load_profile",
    "make_score",
    "make_solver",
    "quantise",
    "residual",
    "synthetic_photograph",
    "to_picture",
    "to_tensor",
    "two_dimensional_entropy",
    "verdict_from_losses",
    "verdict_from_profile",
    "verdict_from_threshold",
    "weight_fingerprint",
]
