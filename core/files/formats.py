"""Which picture formats are read: one list, by what a file holds and not by what it is called.

Pillow knows some forty formats, and would hand PostScript to Ghostscript. Only the ones below are ever opened.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from dataclasses import dataclass

from PIL import Image, features

from ..errors import InvalidImageError


@dataclass(frozen=True)
class PictureFormat:
    """``name`` is Pillow's; ``keeps_pixels``: what it stores is what it was given (others may have altered it);
    ``plugin``: the module that teaches Pillow the format, where Pillow alone cannot read it.
    """

    name: str
    suffixes: tuple[str, ...]
    keeps_pixels: bool = False
    plugin: str = ""
    package: str = ""


FORMATS = {
    one.name: one
    for one in (
        PictureFormat("PNG", (".png", ".apng"), keeps_pixels=True),
        PictureFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo")),
        PictureFormat("WEBP", (".webp",)),
        PictureFormat("AVIF", (".avif", ".avifs")),
        PictureFormat("GIF", (".gif",)),
        PictureFormat("TIFF", (".tif", ".tiff"), keeps_pixels=True),
        PictureFormat("BMP", (".bmp",), keeps_pixels=True),
        PictureFormat("JPEG2000", (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc")),
        PictureFormat("QOI", (".qoi",), keeps_pixels=True),
        PictureFormat("TGA", (".tga", ".icb", ".vda", ".vst"), keeps_pixels=True),
        PictureFormat("PPM", (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"), keeps_pixels=True),
        PictureFormat("HEIF", (".heic", ".heif", ".hif"), plugin="pillow_heif", package="pillow-heif"),
        PictureFormat("JXL", (".jxl",), plugin="pillow_jxl", package="pillow-jxl-plugin"),
    )
}
PICTURE_SUFFIXES = frozenset(suffix for one in FORMATS.values() for suffix in one.suffixes)
READ_FORMATS = "PNG, JPEG, WebP, AVIF, GIF, TIFF, BMP, JPEG 2000, QOI, TGA or PPM"

_SIGNATURES = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WEBP"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+"), "TIFF"),
    # The header's own length follows, so that no text that begins with these letters is taken for one.
    (re.compile(rb"BM.{12}[\x0c-\xff]\0\0\0", re.DOTALL), "BMP"),
    (re.compile(rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n"), "JPEG2000"),
    (re.compile(rb"qoif"), "QOI"),
    (re.compile(rb"P[1-6f]\s"), "PPM"),
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"), "JXL"),
)
# What people give by mistake, in words.
_NOT_READ = (
    (re.compile(rb"%!|\xc5\xd0\xd3\xc6"), "a PostScript file"),
    (re.compile(rb"%PDF"), "a PDF document"),
    (re.compile(rb"8BPS"), "a Photoshop document"),
    (re.compile(rb"SIMPLE  ="), "a FITS file"),
    (re.compile(rb"DDS "), "a DDS texture"),
    (re.compile(rb"BLP[12]"), "a BLP texture"),
    (re.compile(rb"icns"), "an icon file"),
    (re.compile(rb"\0\0[\x01\x02]\0"), "an icon file"),
    (re.compile(rb"v/1\x01"), "an OpenEXR picture"),
    (re.compile(rb"#\?RADIANCE|#\?RGBE"), "a Radiance HDR picture"),
    (re.compile(rb"PF\s"), "a floating-point PFM picture in colour"),
    (re.compile(rb"P7\n"), "a PAM picture"),
    (re.compile(rb"gimp xcf"), "a GIMP document"),
    (re.compile(rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", re.DOTALL), "a Windows metafile"),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive"),
    (re.compile(rb"version https://git-lfs"), "a git-lfs pointer (its picture was not fetched)"),
    (re.compile(rb"\s*<svg|\s*<\?xml", re.IGNORECASE), "a vector drawing or other XML"),
    (re.compile(rb"\s*<(!doctype|html)", re.IGNORECASE), "a web page"),
    (re.compile(rb"\0\x05\x16\x07"), "what macOS keeps beside a file (AppleDouble)"),
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})


def picture_format(content: bytes, name: str) -> PictureFormat:
    """The format of ``content``, the bytes of the file ``name`` (shown in the error, and its extension where a format
    has no signature of its own). Raises :class:`InvalidImageError` for anything that is not read here.
    """
    found = _recognised(content, name)
    if found is None:
        what = next((f" but {what}" for pattern, what in _NOT_READ if pattern.match(content)), "")
        raise InvalidImageError(f"{name} is not a readable picture{what}: give a {READ_FORMATS} file.")
    _prepare(FORMATS[found], name)
    return FORMATS[found]


def _recognised(content: bytes, name: str) -> str | None:
    for pattern, found in _SIGNATURES:
        if pattern.match(content):
            return found
    if content[4:8] == b"ftyp":
        box = content[8 : min(int.from_bytes(content[:4], "big"), 1024)]
        brands = {box[at : at + 4] for at in range(0, len(box), 4)}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        return "HEIF" if brands & _HEIF_BRANDS else None
    return "TGA" if _is_tga(content, name) else None


def _is_tga(content: bytes, name: str) -> bool:
    """TGA files of version 2 end with a signature; of older ones the header must make sense and the name say so."""
    if len(content) < 18 or not (
        content[1] in (0, 1)
        and content[2] in (1, 2, 3, 9, 10, 11)
        and content[16] in (1, 8, 15, 16, 24, 32)
        and content[12:14] != b"\0\0"
        and content[14:16] != b"\0\0"
    ):
        return False
    return content.endswith(b"TRUEVISION-XFILE.\0") or name.lower().endswith(FORMATS["TGA"].suffixes)


def _prepare(wanted: PictureFormat, name: str) -> None:
    """Have Pillow know the format; raises :class:`InvalidImageError` where it cannot."""
    Image.init()
    if wanted.name == "AVIF" and not (features.check("avif") or _is_importable("pillow_avif")):
        raise InvalidImageError(f"{name} is an AVIF picture, which the installed Pillow cannot read: update Pillow.")
    if wanted.plugin and wanted.name not in Image.OPEN:
        if not _is_importable(wanted.plugin):
            raise InvalidImageError(
                f"{name} is a {wanted.name} picture: install {wanted.package} to have it read, or give a PNG of it."
            )
        plugin = importlib.import_module(wanted.plugin)
        if hasattr(plugin, "register_heif_opener"):
            plugin.register_heif_opener()


def _is_importable(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
