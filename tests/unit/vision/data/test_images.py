"""Every image file becomes one upright 8-bit image, or an error that names the file."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.data.images import MAX_PIXELS, open_image

HEIGHT, WIDTH = 11, 7


def colours(height=HEIGHT, width=WIDTH, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(image, path, **options):
    image.save(path, **options)
    return path


def one_line(error):
    return len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_png_modes_become_8_bit_grey_or_rgb(mode, channels, tmp_path):
    path = saved(Image.fromarray(colours()).convert(mode), tmp_path / "a.png")
    opened = open_image(path, channels)
    assert opened.mode == ("L" if channels == 1 else "RGB")
    assert opened.size == (WIDTH, HEIGHT)


def test_rgb_pixels_are_unchanged(tmp_path):
    path = saved(Image.fromarray(colours()), tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(open_image(path)), colours())
    np.testing.assert_array_equal(np.asarray(open_image(path.read_bytes())), colours())


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_palette_colours_are_kept(suffix, tmp_path):
    four = np.array([[255, 0, 0], [0, 128, 255], [7, 7, 7], [0, 255, 0]], dtype=np.uint8)
    pixels = four[np.random.default_rng(1).integers(0, 4, (HEIGHT, WIDTH))]
    path = saved(Image.fromarray(pixels).quantize(4), tmp_path / f"a.{suffix}")
    assert Image.open(path).mode == "P"
    np.testing.assert_array_equal(np.asarray(open_image(path)), pixels)


def test_cmyk_jpeg_is_not_inverted(tmp_path):
    red = Image.new("RGB", (16, 16), (230, 20, 30))
    path = saved(red.convert("CMYK"), tmp_path / "a.jpg", quality=95)
    assert Image.open(path).mode == "CMYK"
    np.testing.assert_allclose(np.asarray(open_image(path)).mean(axis=(0, 1)), (230, 20, 30), atol=6)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled_to_8_bits(suffix, tmp_path):
    eight_bits = colours()[:, :, 0]
    path = saved(Image.fromarray(eight_bits.astype(np.uint16) * 257), tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(np.asarray(open_image(path, 1)), eight_bits)
    np.testing.assert_array_equal(np.asarray(open_image(path, 3))[:, :, 2], eight_bits)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_first_frame_of_animation_is_used(suffix, tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(frames[0], tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
    assert Image.open(path).n_frames == 3  # type: ignore[attr-defined]  # only animated formats have it
    assert np.asarray(open_image(path))[5, 5].tolist() == [255, 0, 0]


# How a camera stores an upright image for each EXIF orientation. Source: EXIF 2.32, tag 274.
STORED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", sorted(STORED))
@pytest.mark.parametrize("bits", [8, 16])
def test_exif_orientation_is_applied(orientation, bits, tmp_path):
    upright = colours() if bits == 8 else colours()[:, :, 0]
    stored = STORED[orientation](upright)
    exif = Image.Exif()
    exif[274] = orientation
    pixels = np.ascontiguousarray(stored if bits == 8 else stored.astype(np.uint16) * 257)
    path = saved(Image.fromarray(pixels), tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(open_image(path, 3 if bits == 8 else 1)), upright)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_white(mode, tmp_path):
    black = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    black.paste((0, 0, 0, 255), (0, 0, 4, 8))
    path = saved(black.convert(mode), tmp_path / "a.png")
    opened = np.asarray(open_image(path, 1))
    assert opened[:, :4].max() == 0
    assert opened[:, 4:].min() == 255


def png_that_claims(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 60_000])  # Pillow warns of the first and refuses the second
def test_decompression_bomb_is_refused(side, tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_that_claims(side, side))
    with pytest.raises(ResMLPError, match=rf"bomb\.png has .* pixels, but at most {MAX_PIXELS} are supported") as error:
        open_image(path)
    assert one_line(error)


def test_extreme_aspect_ratio_is_refused(tmp_path):
    path = tmp_path / "ribbon.png"
    path.write_bytes(png_that_claims(1_000_000, 2))
    with pytest.raises(ResMLPError, match=r"ribbon\.png is .* its aspect ratio must be at most 100"):
        open_image(path)


def broken_files():
    whole = io.BytesIO()
    Image.fromarray(colours(97, 89)).save(whole, "JPEG")
    return {
        "empty.jpg": b"",
        "text.jpg": b"<html>404 not found</html>",
        "short.jpg": whole.getvalue()[: len(whole.getvalue()) // 2],
        "header.png": b"\x89PNG\r\n\x1a\n",
        "noise.gif": b"GIF89a" + bytes(range(256)),
        "program.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    }


@pytest.mark.parametrize("name", sorted(broken_files()))
def test_broken_image_is_one_line(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(broken_files()[name])
    with pytest.raises(ResMLPError, match=name) as error:
        open_image(path)
    assert one_line(error)
    assert "--corrupt-images skip" in str(error.value)


def test_postscript_is_refused(tmp_path):
    path = tmp_path / "program.eps"
    path.write_bytes(broken_files()["program.eps"])
    assert Image.open(path).format == "EPS"
    with pytest.raises(ResMLPError, match="unknown format"):  # not: no Ghostscript
        open_image(path)


def test_missing_image_is_named(tmp_path):
    with pytest.raises(ResMLPError, match=r"gone\.png cannot be read as an image"):
        open_image(tmp_path / "gone.png")


def test_float_pixels_are_refused(tmp_path):
    path = saved(Image.fromarray(np.ones((5, 5), dtype=np.float32)), tmp_path / "depth.tif")
    with pytest.raises(ResMLPError, match=r"depth\.tif has 32 bits per channel"):
        open_image(path)
