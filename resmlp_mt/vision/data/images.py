"""Opens image files safely, as upright 8-bit images; error messages contain the file name."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from resmlp_mt.common.errors import ResMLPError

if TYPE_CHECKING:
    from PIL.Image import Image

# Only formats that Pillow decodes itself: it passes EPS to Ghostscript, which executes programs.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MAX_PIXELS = 89_478_485  # Pillow's first threshold, 256 MiB of RGB; about 9459 x 9459
MAX_ASPECT = 100  # an image of 1 x 80,000,000 is small, but resizing its shorter side would make it huge

CORRUPT_IMAGES = ("refuse", "skip")  # how to handle images that cannot be read

_WHITE = (255, 255, 255, 255)


def open_image(source: str | Path | bytes, channels: int = 3, name: str | None = None) -> Image:
    """Opens an image safely and converts it to 8-bit RGB or grey.

    Takes the first frame of an animation, converts CMYK, palette and other modes to RGB, scales 16-bit grey to 8 bits
    and applies the EXIF orientation.

    Note: transparent images are composited over white, as on a web page.

    Args:
        source: a file, or the bytes of one.
        channels: 3 for RGB, 1 for grey (mode L).
        name: the name in error messages; default: the file's path.

    Returns:
        A decoded `PIL.Image` of mode RGB or L.

    Raises:
        ResMLPError: if the image is missing, damaged, truncated or of another format, or exceeds `MAX_PIXELS` or
            `MAX_ASPECT`. The message names the image.
    """
    from PIL import Image, UnidentifiedImageError

    name = name or ("the image" if isinstance(source, bytes) else str(source))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings are either errors below or harmless
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
                return convert_image(image, channels, name)
    except ResMLPError:
        raise
    except Image.DecompressionBombError as error:
        raise ResMLPError(_too_large(name, "more than twice that")) from error
    except Exception as error:  # a damaged file may fail anywhere in Pillow
        is_unknown = isinstance(error, UnidentifiedImageError)  # its message only names the file
        reason = "unknown format" if is_unknown else " ".join(str(error).split()) or type(error).__name__
        raise ResMLPError(
            f"{name} cannot be read as an image ({', '.join(FORMATS)}): {reason}; "
            "replace or remove it, or skip such images with --corrupt-images skip"
        ) from error


def _too_large(name: str, pixels: str) -> str:
    return f"{name} has {pixels} pixels, but at most {MAX_PIXELS} are supported; make it smaller"


def _check_size(image: Image, name: str) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise ResMLPError(_too_large(name, str(pixels)))
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise ResMLPError(
            f"{name} is {image.width} x {image.height}; its aspect ratio must be at most {MAX_ASPECT}; crop it"
        )
    if image.mode in ("I", "F") and image.format != "PNG":
        raise ResMLPError(
            f"{name} has 32 bits per channel and no defined white level; convert it to 8 or 16 bits per channel"
        )


def convert_image(image: Image, channels: int, name: str = "the image") -> Image:
    """Converts a Pillow image as `open_image` does.

    Raises:
        ResMLPError: if it has too many pixels, is too narrow, or has 32 bits per channel.
    """
    from PIL import Image, ImageOps

    _check_size(image, name)
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
    """Scales 16-bit grey to 8 bits: 65535 / 257 = 255. Pillow's own conversion clips at 255."""
    import numpy as np
    from PIL import Image

    grey = Image.fromarray((np.asarray(image, dtype=np.float64) / 257.0).round().clip(0, 255).astype(np.uint8))
    if exif := image.getexif():
        grey.info["exif"] = exif.tobytes()
        grey.getexif()  # parse it, for exif_transpose
    return grey
