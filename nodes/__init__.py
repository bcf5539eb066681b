"""The nodes, as ComfyUI registers them. Ids, input order and output order are promises: append, never reorder."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import shipped
from .attribute import AttributeImage
from .calibrate import Calibrate
from .encode import EncodeForTrace
from .fingerprint_basis import BuildFingerprintBasis, LoadFingerprintBasis
from .fingerprint_embed import EmbedFingerprint
from .fingerprint_read import ReadFingerprint
from .invert import InvertLatent
from .invert_input import InvertGeneratorInput
from .load_images import LoadImagesToTrace
from .locate import FindForeignRegions
from .origin_verdict import OriginVerdictNode
from .profiles import LoadProfile
from .save_report import SaveTraceReport
from .trace_image import TraceImage
from .verdict import TraceVerdict
from .which_family import WhichFamily

shipped.register()


class LatentTracerExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            EncodeForTrace,
            InvertLatent,
            TraceVerdict,
            Calibrate,
            LoadProfile,
            TraceImage,
            AttributeImage,
            LoadImagesToTrace,
            SaveTraceReport,
            InvertGeneratorInput,
            OriginVerdictNode,
            BuildFingerprintBasis,
            LoadFingerprintBasis,
            EmbedFingerprint,
            ReadFingerprint,
            FindForeignRegions,
            WhichFamily,
        ]
