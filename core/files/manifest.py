"""Who signed a picture's C2PA manifest, where the optional package ``c2pa-python`` is installed.

A signature tells who vouches for a file as it is, not whether what the manifest says is true, and nobody here decides
whom to believe: the name is shown and no verdict rests on it. Nothing is fetched from anywhere.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
from typing import Any

from ..storage.safe_text import clean_text

_MEDIA_TYPES = ((b"\x89PNG", "image/png"), (b"\xff\xd8", "image/jpeg"), (b"RIFF", "image/webp"))
_OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": False}}
NOT_CHECKED = "it holds a C2PA manifest, whose signature was not checked"


def manifest_note(content: bytes) -> str:
    """What is said of the manifest in the bytes of a file that has one; never raises, whatever the bytes are."""
    if importlib.util.find_spec("c2pa") is None:
        return NOT_CHECKED
    try:
        return _checked(importlib.import_module("c2pa"), content)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library is written in Rust, whose panics are no Exception
        reason = clean_text(" ".join(str(error).split()) or type(error).__name__, 100)
        return f"it holds a C2PA manifest that cannot be read ({reason})"


def _checked(c2pa: Any, content: bytes) -> str:
    kind = next((one for start, one in _MEDIA_TYPES if content.startswith(start)), None)
    kind = kind or ("image/tiff" if content[:2] in (b"II", b"MM") else "image/avif")
    with c2pa.Context(c2pa.Settings.from_dict(_OFFLINE)) as context:
        report = json.loads(c2pa.Reader(kind, io.BytesIO(content), context=context).json())
    signature = report["manifests"][report["active_manifest"]].get("signature_info") or {}
    names = [clean_text(signature[key], 80) for key in ("issuer", "common_name") if isinstance(signature.get(key), str)]
    signer = " / ".join(dict.fromkeys(names)) or "somebody without a name"
    problems = [clean_text(str(one.get("code")), 60) for one in report.get("validation_status") or []]
    if report.get("validation_state") == "Invalid" or problems:
        return f"it holds a C2PA manifest signed as {signer} that does not fit the file ({', '.join(problems[:3])})"
    return f"it holds a C2PA manifest signed as {signer}, unaltered since; anyone can sign under any name"
