"""Every mode of an image becomes the pixels that a person would expect; what cannot is named."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from picturefiles import encoded, noise
from PIL import Image, ImageOps

from logitmix_hf.vision.data.decode import BoundedImages, CorruptImage, decode, decode_rows, read_image, scan, square


class Bytes:
    """Rows in memory."""

    def __init__(self, *data: bytes) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def read(self, row: int) -> bytes:
        return self.data[row]

    def name(self, row: int) -> str:
        return f"row {row}"


def pixels(data: bytes, channels: int = 3) -> np.ndarray:
    return np.asarray(decode(data, channels))


GREY, COLOUR = noise(5, 7, 1), noise(5, 7, 3)


def test_what_needs_no_change_is_not_changed():
    np.testing.assert_array_equal(pixels(encoded(COLOUR)), COLOUR)
    np.testing.assert_array_equal(pixels(encoded(GREY), 1), GREY)
    np.testing.assert_array_equal(pixels(encoded(COLOUR, "WEBP", lossless=True)), COLOUR)
    np.testing.assert_array_equal(pixels(encoded(COLOUR, "BMP")), COLOUR)
    np.testing.assert_array_equal(pixels(encoded(COLOUR, "TIFF")), COLOUR)


def test_grey_to_colour_and_back():
    np.testing.assert_array_equal(pixels(encoded(GREY)), np.repeat(GREY[:, :, None], 3, axis=2))
    luma = COLOUR @ [0.299, 0.587, 0.114]  # ITU-R 601
    assert np.abs(pixels(encoded(COLOUR), 1) - luma).max() <= 1


def test_transparent_parts_lie_on_white():
    alpha = np.zeros((5, 7), np.uint8)
    alpha[:, 3:], alpha[0, 3:] = 255, 51  # a fifth
    found = pixels(encoded(np.dstack([COLOUR, alpha])))
    assert (found[:, :3] == 255).all()
    np.testing.assert_array_equal(found[1:, 3:], COLOUR[1:, 3:])
    np.testing.assert_allclose(found[0, 3:], COLOUR[0, 3:] * 0.2 + 255 * 0.8, atol=1)
    grey = pixels(encoded(Image.fromarray(np.dstack([GREY, alpha]), "LA")), 1)
    assert (grey[:, :3] == 255).all()
    np.testing.assert_array_equal(grey[1:, 3:], GREY[1:, 3:])


def test_palettes():
    numbers = np.arange(35, dtype=np.uint8).reshape(5, 7) % 4
    table = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
    image = Image.fromarray(numbers).convert("P")
    image.putpalette(table.tobytes())
    for kind in ("PNG", "GIF"):
        np.testing.assert_array_equal(pixels(encoded(image, kind)), table[numbers])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow warns of palettes with transparency in bytes
        found = pixels(encoded(image, transparency=bytes([0, 255, 255, 255])))
    table[0] = 255
    np.testing.assert_array_equal(found, table[numbers])
    np.testing.assert_array_equal(pixels(encoded(image, "GIF", transparency=0)), table[numbers])
    assert pixels(encoded(image), 1).shape == (5, 7)


def test_cmyk():
    flat = np.zeros((8, 8, 4), np.uint8)
    flat[:, 4:] = (0, 255, 255, 0)  # magenta and yellow ink: red
    image = Image.fromarray(flat, "CMYK")
    found = pixels(encoded(image, "TIFF"))
    assert (found[:, :4] == 255).all()
    assert (found[:, 4:] == (255, 0, 0)).all()
    assert np.abs(pixels(encoded(image, "JPEG", quality=95)).astype(int) - found).max() < 40


def test_sixteen_bits_are_scaled():
    values = np.linspace(0, 65535, 35).round().astype(np.uint16).reshape(5, 7)
    for kind in ("PNG", "TIFF"):
        found = pixels(encoded(Image.fromarray(values), kind), 1)
        assert np.abs(found - values / 257).max() <= 0.501, kind
        assert (found.min(), found.max()) == (0, 255)
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(values)))[:, :, 1], found)
    dark = np.full((5, 7), 257, np.uint16)  # one level of 255: dark, not black, and never stretched
    assert (pixels(encoded(Image.fromarray(dark)), 1) == 1).all()


def test_one_bit():
    bits = (noise(5, 7, 1) > 127) * np.uint8(255)
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(bits).convert("1")), 1), bits)


def test_upright_as_the_camera_was_held():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    np.testing.assert_array_equal(pixels(encoded(COLOUR, exif=exif)), np.rot90(COLOUR, -1))
    assert scan(Bytes(encoded(COLOUR, exif=exif)), np.arange(1)).sizes.tolist() == [[5, 7]]


def test_an_animation_is_its_first_frame():
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(pixels(buffer.getvalue(), 1), GREY)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not an image of a known kind"),
        (b"no image at all", "not an image of a known kind"),
        (encoded(noise(64, 64))[:2000], "truncated|cut|broken|Truncated"),
        (encoded(noise(64, 64), "JPEG")[:900], "truncated"),
        (encoded(noise(64, 64), "WEBP")[:200], "."),
        (encoded(Image.fromarray(np.ones((3, 3), np.float32)), "TIFF"), "floating-point"),
        (encoded(Image.fromarray(np.full((3, 3), 70_000, np.int32)), "TIFF"), "32-bit"),
    ],
)
def test_what_is_broken_is_named(data, why):
    good = encoded(COLOUR)
    with pytest.raises(CorruptImage, match=f"Cannot read row 1: .*({why}).*--skip_corrupt") as caught:
        read_image(Bytes(good, data), 1, 3)
    assert "\n" not in str(caught.value)
    done = decode_rows(Bytes(good, data, good), np.array([2, 1, 0]), 5, 3, "test")
    assert list(done.failures) == [1]
    assert done.failures[1].name == "row 1"
    np.testing.assert_array_equal(done.pixels[0], done.pixels[2])
    assert done.pixels[0].any()
    assert not done.pixels[1].any()


def test_a_broken_png_is_not_filled_up():
    """A changed byte within the compressed pixels: the checksum tells."""
    data = bytearray(encoded(noise(64, 64)))
    data[3000] ^= 255
    with pytest.raises(CorruptImage):
        read_image(Bytes(bytes(data)), 0, 3)


def test_the_square_is_the_centre_resized():
    wide = noise(6, 10)
    np.testing.assert_array_equal(square(Image.fromarray(wide), 6), wide[:, 2:8])
    np.testing.assert_array_equal(square(Image.fromarray(wide[:6, :6]), 6), wide[:, :6])
    assert square(Image.fromarray(noise(5, 9, 1)), 4).shape == (4, 4, 1)
    # short side to 8 and the centre cut out, by torchvision; the middle lies on whole pixels of the larger image
    from torchvision.transforms import v2

    image = Image.fromarray(np.kron(noise(4, 6, 1), np.ones((8, 8), np.uint8)))  # 32 x 48
    expected = v2.Compose([v2.Resize(8), v2.CenterCrop(8)])(image)
    assert np.abs(square(image, 8)[:, :, 0].astype(int) - np.asarray(expected)).max() <= 1


def test_order_and_threads_change_nothing():
    images = Bytes(*(encoded(noise(4, 4, seed=seed)) for seed in range(200)))
    rows = np.random.default_rng(0).permutation(200)
    done = decode_rows(images, rows, 4, 3, "test")
    for position, row in enumerate(rows):
        np.testing.assert_array_equal(done.pixels[position], noise(4, 4, seed=int(row)))
    assert len(np.unique(done.digests, axis=0)) == 200


def test_a_scan_says_what_is_there():
    images = Bytes(encoded(GREY), encoded(noise(9, 4, 1)), b"broken")
    found = scan(images, np.arange(3))
    assert found.sizes.tolist() == [[7, 5], [4, 9]]
    assert found.grey
    assert not scan(Bytes(encoded(GREY), encoded(COLOUR)), np.arange(2)).grey


def test_a_message_survives_the_workers_of_a_data_loader():
    """They raise again with the traceback for a message."""
    told = CorruptImage("Caught CorruptImage in DataLoader worker process 0.\nTraceback:\n  File x\nlogitmix_hf.vision.data.decode.CorruptImage: Cannot read row 3: cut.\n")  # fmt: skip  # noqa: E501
    assert str(told) == "Cannot read row 3: cut."


def bomb(side: int) -> bytes:
    """A PNG of one colour, side x side: a thousandth of what it unpacks to."""
    buffer = io.BytesIO()
    Image.new("1", (side, side)).save(buffer, "png")
    return buffer.getvalue()


def test_an_image_that_would_fill_the_memory_is_not_unpacked():
    small, large = encoded(COLOUR), bomb(10_050)
    assert len(large) < 200_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # Pillow tells, and unpacks all the same
        tracemalloc.start()
        decoded = decode_rows(Bytes(small, large), np.arange(2), 5, 3, "what")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert list(decoded.failures) == [1]
        assert "10050 x 10050 pixels are more than --max_pixels 100000000 allows" in decoded.failures[1].why
        assert peak < 20_000_000
        assert decode(large, 1, max_pixels=101_002_500).size == (10_050, 10_050)
    bounded = BoundedImages(Bytes(small), max_pixels=34)
    with pytest.raises(CorruptImage, match="7 x 5 pixels are more than --max_pixels 34"):
        read_image(bounded, 0, 3)
    assert read_image(BoundedImages(Bytes(small), max_pixels=35), 0, 3).size == (7, 5)
    with pytest.raises(ValueError, match="--max_pixels"):
        decode(bomb(20_000), 1)  # above Pillow's own bound too


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_undone_as_pillow_does(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(COLOUR, "TIFF" if orientation % 2 else "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(pixels(data), np.asarray(expected))
    assert scan(Bytes(data), np.arange(1)).sizes.tolist() == [list(expected.size)]


def exif_bytes(*entries: bytes) -> bytes:
    """A little-endian TIFF directory in EXIF's envelope."""
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)


ORIENTATION = struct.pack("<HHII", 0x0112, 3, 1, 6)
BROKEN = {
    "a text for a number": struct.pack("<HHI4s", 0x0102, 2, 3, b"8 8\0"),
    "a type that is none": struct.pack("<HHII", 0x0102, 99, 1, 8),
    "an offset beyond the end": struct.pack("<HHII", 0x010F, 2, 500, 70_000),
    "numbers for a text": struct.pack("<HHII", 0x010E, 3, 1, 7),
}


@pytest.mark.parametrize("tag", BROKEN.values(), ids=BROKEN)
def test_a_good_photograph_with_a_broken_tag_is_turned_and_read(tag):
    plain = encoded(COLOUR, "JPEG", quality=100)
    expected = np.rot90(np.asarray(Image.open(io.BytesIO(plain))), -1)
    data = encoded(COLOUR, "JPEG", quality=100, exif=exif_bytes(tag, ORIENTATION))
    np.testing.assert_array_equal(pixels(data), expected)
    assert scan(Bytes(data), np.arange(1)).sizes.tolist() == [[5, 7]]


NO_ORIENTATION = [
    b"Exif\0\0",
    b"Exif\0\0II*\0\xff\xff\xff\xff",
    exif_bytes(struct.pack("<HHII", 0x0112, 3, 1, 77)),
    exif_bytes(struct.pack("<HHI4s", 0x0112, 2, 3, b"up\0\0")),
]


@pytest.mark.parametrize("exif", NO_ORIENTATION)
def test_an_orientation_that_is_none_turns_nothing(exif):
    data = encoded(COLOUR, "JPEG", quality=100, exif=exif)
    np.testing.assert_array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data))))
    assert scan(Bytes(data), np.arange(1)).sizes.tolist() == [[7, 5]]


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


LARGE = zlib.compress(bytes(3_000_000))
LARGE_CHUNKS = {
    "text": png_chunk(b"zTXt", b"Comment\0\0" + LARGE),
    "international": png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + LARGE),
    "profile": png_chunk(b"iCCP", b"profile\0\0" + LARGE),
    "many": png_chunk(b"tEXt", b"Comment\0" + b"x" * 900_000) * 80,
}


@pytest.mark.parametrize("chunk", LARGE_CHUNKS.values(), ids=LARGE_CHUNKS)
@pytest.mark.parametrize("last", [False, True], ids=["before the pixels", "behind them"])
def test_large_texts_of_a_png_hinder_nothing(chunk, last):
    plain = encoded(COLOUR)
    at = plain.index(b"IEND") - 4 if last else plain.index(b"IDAT") - 4
    data = plain[:at] + chunk + plain[at:]
    np.testing.assert_array_equal(pixels(data), COLOUR)
    assert scan(Bytes(data), np.arange(1)).sizes.tolist() == [[7, 5]]
    with pytest.raises(Exception, match="(?i)truncated|broken"):  # what is cut short is still told
        pixels(plain[:at] + chunk + plain[at : at + 20] if not last else plain[: plain.index(b"IDAT") + 10] + chunk)
