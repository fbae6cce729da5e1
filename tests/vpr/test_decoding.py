"""Decoding: the fast path gives Pillow's pixels, and odd images are shown as a viewer shows them."""

import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vpr.datasets import find_images
from vpr.decoding import DECODE_ERRORS, FAST_PIXELS, KINDS, ORIENTATION, decode, read_file
from vpr.errors import BadImagesError
from vpr.images import read_image

JPEGS = {
    "4:2:0": {"subsampling": 2},
    "4:2:2": {"subsampling": 1},
    "4:4:4": {"subsampling": 0},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 3},
    "RGB": {"keep_rgb": True},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
    "low quality": {"quality": 5},
}
SIZE = (147, 223)


@pytest.fixture(scope="module")
def photo(city):
    """An image with odd sides, so that blocks are cut."""
    with Image.open(find_images(city / "gsv_xs/train")[3]) as image:
        return image.convert("RGB").resize(SIZE[::-1])


def encoded(image, kind="JPEG", mode="RGB", **settings):
    sink = io.BytesIO()
    image.convert(mode).save(sink, kind, **settings)
    return sink.getvalue()


def by_pillow(data, image_size):
    with Image.open(io.BytesIO(data)) as image:
        colour = ImageOps.exif_transpose(image).convert("RGB")
    return np.asarray(colour.resize(image_size[::-1], Image.Resampling.BILINEAR)).transpose(2, 0, 1)


@pytest.mark.parametrize("name", JPEGS)
def test_decode_equals_pillow_for_every_kind_of_jpeg(photo, name):
    data = encoded(photo, **JPEGS[name])
    assert (decode(data, SIZE) == by_pillow(data, SIZE)).all()
    assert (decode(data + b"garbage", SIZE) == by_pillow(data, SIZE)).all()


@pytest.mark.parametrize("image_size", [(80, 120), (147, 100), (200, 300)])
def test_resizing_equals_pillow_up_to_rounding(photo, image_size):
    data = encoded(photo)
    difference = np.abs(decode(data, image_size).astype(int) - by_pillow(data, image_size))
    assert difference.max() <= 1 and difference.mean() < 0.1


def test_a_jpeg_that_is_much_too_large_is_near_to_pillow(photo):
    data = encoded(photo.resize((896, 592)))
    difference = np.abs(decode(data, (70, 110)).astype(int) - by_pillow(data, (70, 110)))
    assert 0 < difference.mean() < 1 and difference.max() < 20


@pytest.mark.parametrize("name", ["4:2:0", "progressive", "grey"])
def test_every_truncated_jpeg_is_refused(photo, name):
    data = encoded(photo.resize((60, 40)), **JPEGS[name])
    for length in range(len(data)):
        with pytest.raises(DECODE_ERRORS):
            decode(data[:length], (40, 60))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_images_are_upright_for_every_orientation(photo, kind, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(photo, kind, exif=exif)
    size = SIZE if orientation < 5 else SIZE[::-1]
    assert (decode(data, size) == by_pillow(data, size)).all()
    assert (decode(data, size) != by_pillow(encoded(photo, kind), size)).any() == (orientation > 1)


def test_a_corrupt_orientation_is_passed_over(photo):
    plain = encoded(photo)
    rubbish = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xfe" * 40
    data = plain[:2] + b"\xff\xe1" + (len(rubbish) + 2).to_bytes(2, "big") + rubbish + plain[2:]
    assert (decode(data, SIZE) == decode(plain, SIZE)).all()


def sixteen_bits(kind, mode=None):
    return encoded_pixels(np.array([[0, 0x80FF], [0x0100, 0xFFFF]], np.uint16), kind, mode)


def encoded_pixels(pixels, kind, mode=None, **settings):
    sink = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(sink, kind, **settings)
    return sink.getvalue()


def palette():
    image = Image.new("P", (2, 2))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1, 0, 1])
    sink = io.BytesIO()
    image.save(sink, "PNG", transparency=1)
    return sink.getvalue()


RED, BLACK, WHITE, PINK = (255, 0, 0), (0, 0, 0), (255, 255, 255), (255, 127, 127)
GREYS = [BLACK, (0x80,) * 3, (1, 1, 1), WHITE]
ALPHA = np.array([[[255, 0, 0, 255], [255, 0, 0, 0]], [[255, 0, 0, 128], [0, 0, 0, 255]]], np.uint8)
GREY_ALPHA = np.array([[[0, 255], [0, 0]], [[128, 255], [255, 255]]], np.uint8)
ODD = {
    "16-bit grey": (lambda: sixteen_bits("PNG"), GREYS),
    "16-bit grey TIFF": (lambda: sixteen_bits("TIFF"), GREYS),
    "32-bit integers": (lambda: sixteen_bits("TIFF", "I"), GREYS),
    "transparent": (lambda: encoded_pixels(ALPHA, "PNG"), [RED, WHITE, PINK, BLACK]),
    "transparent grey": (lambda: encoded_pixels(GREY_ALPHA, "PNG"), [BLACK, WHITE, (128,) * 3, WHITE]),
    "transparent palette": (palette, [RED, WHITE, RED, WHITE]),
    "transparent colour": (
        lambda: encoded_pixels(ALPHA[..., :3].copy(), "PNG", transparency=(255, 0, 0)),
        [WHITE, WHITE, WHITE, BLACK],
    ),
    "one bit": (
        lambda: encoded_pixels(np.array([[0, 255], [255, 0]], np.uint8), "PNG", "1"),
        [BLACK, WHITE, WHITE, BLACK],
    ),
    "grey": (lambda: encoded_pixels(np.array([[0, 128], [1, 255]], np.uint8), "PNG"), GREYS),
    "CMYK": (lambda: encoded_pixels(ALPHA[..., :3].copy(), "TIFF", "CMYK"), [RED, RED, RED, BLACK]),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_images_have_the_colours_that_a_viewer_shows(name):
    data, colours = ODD[name]
    found = decode(data(), (2, 2)).transpose(1, 2, 0).reshape(4, 3)
    assert [tuple(colour) for colour in found.tolist()] == colours


def test_pixels_without_a_known_range_are_refused(tmp_path):
    for number, pixels in enumerate([np.ones((2, 2), np.float32), np.full((2, 2), 70_000, np.int32)]):
        path = tmp_path / f"{number}.png"
        path.write_bytes(encoded_pixels(pixels, "TIFF"))
        with pytest.raises(BadImagesError, match="whose range is not known; save it with 8 or 16 bits"):
            read_image(path, (2, 2))


@pytest.mark.slow
def test_a_large_image_is_read_quietly_and_a_bomb_is_refused(tmp_path):
    Image.new("L", (11_000, 11_000)).save(tmp_path / "large.jpg")
    code = (
        f"from pathlib import Path; from vpr.images import read_image; read_image(Path('{tmp_path}/large.jpg'), (4, 4))"
    )
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    Image.new("L", (14_000, 14_000)).save(tmp_path / "bomb.jpg")
    assert FAST_PIXELS < 14_000**2
    with pytest.raises(BadImagesError, match="exceeds limit"):
        read_image(tmp_path / "bomb.jpg", (4, 4))


def named_pipe(path):
    os.mkfifo(path)


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(path.parent)  # a socket's address has a short limit
        try:
            server.bind(path.name)
        finally:
            os.chdir(before)


KINDS_OF_FILES = {
    "is a named pipe, not a file": named_pipe,
    "is a socket, not a file": a_socket,
    "is a device, not a file": lambda path: path.symlink_to("/dev/zero"),
    "is a folder, not a file": lambda path: path.mkdir(),
    "is a broken link": lambda path: path.symlink_to("nowhere"),
    "is a link that leads to itself": lambda path: path.symlink_to(path.name),
    "is empty": lambda path: path.touch(),
    "is not there": lambda path: None,
    "is not an image of a known format": lambda path: path.write_bytes(b"hello"),
}


@pytest.mark.parametrize("reason", KINDS_OF_FILES)
def test_what_is_not_an_image_file_is_named_and_never_opened(tmp_path, reason):
    path = tmp_path / "x.jpg"
    KINDS_OF_FILES[reason](path)
    with pytest.raises(BadImagesError) as error:
        read_image(path, (4, 4))
    assert error.value.faults == {path: reason}
    assert error.value.heals == (reason not in ("is empty", "is not an image of a known format"))
    assert set(KINDS.values()) <= set(KINDS_OF_FILES)


def test_a_file_without_permission_is_named(tmp_path, monkeypatch):
    path = tmp_path / "x.jpg"
    path.write_bytes(b"hello")
    if os.geteuid() == 0:  # root may read everything

        def refuse(path):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    path.chmod(0)
    with pytest.raises(BadImagesError, match="cannot be opened: Permission denied") as error:
        read_file(path)
    assert error.value.heals
