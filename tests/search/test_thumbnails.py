"""Thumbnails are upright, and what cannot be shown is named."""

import base64
import io
import os

import numpy as np
import pytest
from PIL import Image

from search.thumbnails import thumbnail
from vpr.decoding import ORIENTATION
from vpr.errors import DataError


def test_a_thumbnail_is_upright(tmp_path):
    image = Image.new("RGB", (640, 320), "red")
    image.paste("blue", (0, 0, 320, 320))
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # a viewer turns it clockwise, so that the left side is on top
    image.save(tmp_path / "turned.jpg", exif=exif)
    small = thumbnail(tmp_path / "turned.jpg", 160)
    assert (small.width, small.height) == (80, 160)
    with Image.open(io.BytesIO(base64.b64decode(small.uri.partition(",")[2]))) as shown:
        top, bottom = np.asarray(shown.convert("RGB"))[[20, 140], 40]
    assert top[2] > 200 > 50 > top[0] and bottom[0] > 200 > 50 > bottom[2]


def test_a_named_pipe_has_no_thumbnail(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match="cannot be shown.*named pipe"):
        thumbnail(tmp_path / "pipe.jpg", 160)
