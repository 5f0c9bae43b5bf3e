"""Opening pictures: whatever a file holds becomes an upright 8-bit picture, or one sentence that names the file."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from resmlp_mt.common.errors import ResMLPError, require

if TYPE_CHECKING:
    from PIL.Image import Image

# Only formats that Pillow decodes itself: it hands EPS to Ghostscript, which runs programs.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MAX_PIXELS = 89_478_485  # Pillow's own first threshold, 256 MiB of RGB; about 9459 x 9459
MAX_ASPECT = 100  # a picture of 1 x 80,000,000 is small, but enormous once its shorter side has been made longer

CORRUPT_IMAGES = ("refuse", "skip")  # what to do about pictures that cannot be read

_WHITE = (255, 255, 255, 255)


def open_image(source: str | Path | bytes, channels: int = 3, name: str | None = None) -> Image:
    """Opens a picture safely and in one form.

    The first frame of an animation; CMYK, palette and other colours as RGB; 16-bit grey scaled to 8 bits; turned
    upright as its EXIF orientation says.

    Note: transparent pictures stand on white, as a page would show them.

    Args:
        source: a file, or the bytes of one.
        channels: 3 for RGB, 1 for grey (mode L).
        name: what to call it in errors; the file's path when None.

    Returns:
        A decoded `PIL.Image` of mode RGB or L.

    Raises:
        ResMLPError: naming the picture: missing, damaged, truncated, of another format, or of more than `MAX_PIXELS`
            or `MAX_ASPECT`.
    """
    from PIL import Image, UnidentifiedImageError

    name = name or ("the picture" if isinstance(source, bytes) else str(source))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow only warns of is either refused below or harmless
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
                return convert_image(image, channels, name)
    except ResMLPError:
        raise
    except Image.DecompressionBombError as error:
        raise ResMLPError(_too_large(name, "more than twice that")) from error
    except Exception as error:  # a damaged file may fail anywhere in Pillow
        is_strange = isinstance(error, UnidentifiedImageError)  # whose message only names the file
        reason = "it has no such beginning" if is_strange else " ".join(str(error).split()) or type(error).__name__
        raise ResMLPError(
            f"{name} must be a whole picture ({', '.join(FORMATS)}), but cannot be read ({reason}); "
            "replace or remove it, or skip such pictures with --corrupt-images skip"
        ) from error


def _too_large(name: str, pixels: str) -> str:
    return f"{name} must be of at most {MAX_PIXELS} pixels, but has {pixels}; make it smaller"


def _require_size(image: Image, name: str) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise ResMLPError(_too_large(name, str(pixels)))
    longest, shortest = max(image.size), min(image.size)
    rule = f"at most {MAX_ASPECT} times as long as it is wide"
    require(longest <= MAX_ASPECT * shortest, name, rule, f"{image.width} x {image.height}", "cut it")
    require(
        image.mode not in ("I", "F") or image.format == "PNG",
        name,
        "of 8 or 16 bits a channel",
        "of 32 bits, whose white nobody knows",
        "convert it to 16 bits",
    )


def convert_image(image: Image, channels: int, name: str = "the image") -> Image:
    """Brings an image of Pillow's into the form of `open_image`.

    Raises:
        ResMLPError: when it has too many pixels, is too narrow, or has 32 bits a channel.
    """
    from PIL import Image, ImageOps

    _require_size(image, name)
    image.load()
    if image.mode.startswith("I"):  # I;16 and its byte orders; older Pillows read 16-bit PNG files as I
        upright = ImageOps.exif_transpose(_eight_bits(image))
    else:
        upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        coloured = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", coloured.size, _WHITE), coloured)
    return upright.convert("L" if channels == 1 else "RGB")


def _eight_bits(image: Image) -> Image:
    """Scales 16-bit grey to 8 bits: 65535 / 257 = 255. Pillow's own conversion cuts everything above 255 off."""
    import numpy as np
    from PIL import Image

    grey = Image.fromarray((np.asarray(image, dtype=np.float64) / 257.0).round().clip(0, 255).astype(np.uint8))
    if exif := image.getexif():
        grey.info["exif"] = exif.tobytes()
        grey.getexif()  # read what was just put there
    return grey
