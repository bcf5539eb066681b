"""Latent Tracer's core: tensors in, verdicts out; knows nothing of ComfyUI or of a terminal."""

from .calibration.latents import calibrate, calibrate_conditions
from .calibration.origin import calibrate_origin, profile_from_inversions
from .errors import (
    InvalidImageError,
    InvalidLatentError,
    InvalidSettingError,
    LatentTracerError,
    NotEnoughMemoryError,
    UnknownAutoencoderError,
    UnsupportedAutoencoderError,
    UnsupportedGeneratorError,
)
from .files.decoding import LoadedImage, load_image
from .files.picture import FileFacts, Picture, PictureFile
from .images.conditions import CONDITIONS, alter
from .images.entropy import two_dimensional_entropy
from .images.quantiser import ROUNDING_FLOOR, quantise, residual
from .images.synthetic import synthetic_photograph
from .images.tensors import Crop, check_images, crop_to_grid, to_picture, to_tensor
from .inversion.inputs import INPUT_SOLVERS, InputInversion, invert_inputs
from .inversion.latents import Inversion, Step, invert
from .inversion.objective import Objective, Passes
from .inversion.solvers import SOLVERS, make_solver
from .models.autoencoder import Autoencoder, ModuleAutoencoder
from .models.autoencoder_generator import AutoencoderGenerator
from .models.generator import EncodingGenerator, Generator, ModuleGenerator, check_generator
from .models.load_generator import load_generator
from .models.loading import load_autoencoder
from .models.weight_digest import equivalent_digests, is_old_digest, same_weights, weight_digest
from .profiles import InvalidProfileError, Profile, builtin_profile, load_profile, load_profiles
from .profiles.grubbs import grubbs_critical, grubbs_threshold
from .profiles.thresholds import Threshold, fit_threshold
from .scores import DEFAULT_SCORE, SCORES, Score, Scored, make_score
from .scores.decoder_grid import NoGridError
from .scores.ronan import CalibratedLoss, calibrated_loss, image_entropy
from .tracing.attribute import attribute
from .tracing.traced import Traced
from .tracing.tracer import Tracer
from .verdicts.attribution import Attribution
from .verdicts.localisation import ForeignMap, locate_foreign
from .verdicts.origin import (
    OriginVerdict,
    check_inversion_profile,
    check_origin_profile,
    judge_origin,
    origin_report,
    score_for,
)
from .verdicts.own_part import locate_own
from .verdicts.verdict import LIMITS, Verdict, verdict_from_losses, verdict_from_profile, verdict_from_threshold

# The digest of weights by its earlier name, which scripts may use; a fingerprint is a mark in a picture.
weight_fingerprint = weight_digest

__all__ = [
    "CONDITIONS",
    "DEFAULT_SCORE",
    "INPUT_SOLVERS",
    "LIMITS",
    "ROUNDING_FLOOR",
    "SCORES",
    "SOLVERS",
    "Attribution",
    "Autoencoder",
    "AutoencoderGenerator",
    "CalibratedLoss",
    "Crop",
    "EncodingGenerator",
    "FileFacts",
    "ForeignMap",
    "Generator",
    "InputInversion",
    "InvalidImageError",
    "InvalidLatentError",
    "InvalidProfileError",
    "InvalidSettingError",
    "Inversion",
    "LatentTracerError",
    "LoadedImage",
    "ModuleAutoencoder",
    "ModuleGenerator",
    "NoGridError",
    "NotEnoughMemoryError",
    "Objective",
    "OriginVerdict",
    "Passes",
    "Picture",
    "PictureFile",
    "Profile",
    "Score",
    "Scored",
    "Step",
    "Threshold",
    "Traced",
    "Tracer",
    "UnknownAutoencoderError",
    "UnsupportedAutoencoderError",
    "UnsupportedGeneratorError",
    "Verdict",
    "alter",
    "attribute",
    "builtin_profile",
    "calibrate",
    "calibrate_conditions",
    "calibrate_origin",
    "calibrated_loss",
    "check_generator",
    "check_images",
    "check_inversion_profile",
    "check_origin_profile",
    "crop_to_grid",
    "equivalent_digests",
    "fit_threshold",
    "grubbs_critical",
    "grubbs_threshold",
    "image_entropy",
    "invert",
    "is_old_digest",
    "invert_inputs",
    "judge_origin",
    "load_autoencoder",
    "load_generator",
    "load_image",
    "load_profile",
    "load_profiles",
    "locate_foreign",
    "locate_own",
    "make_score",
    "make_solver",
    "origin_report",
    "profile_from_inversions",
    "quantise",
    "residual",
    "same_weights",
    "score_for",
    "synthetic_photograph",
    "to_picture",
    "to_tensor",
    "two_dimensional_entropy",
    "verdict_from_losses",
    "verdict_from_profile",
    "verdict_from_threshold",
    "weight_digest",
    "weight_fingerprint",
]
