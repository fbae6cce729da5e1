"""A picture of a query and what was found for it; right and wrong differ in colour and in shape."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

from vpr.decoding import upright

if TYPE_CHECKING:
    from vpr.locate import Match

TILE, MARGIN, LINE, FRAME = (320, 240), 16, 20, 6
# Okabe and Ito's colours, which colour-blind people tell apart.
RIGHT, WRONG, PLAIN = "#009E73", "#D55E00", "#444444"


def draw(file: Path, query: Path, found: "list[Match]") -> None:
    """Write the query and its matches in a row: a solid frame and a tick where right, a dashed one and a cross where wrong."""
    step = TILE[0] + MARGIN
    board = Image.new("RGB", (step * (len(found) + 1) + MARGIN, TILE[1] + 2 * MARGIN + 4 * LINE), "white")
    pen = ImageDraw.Draw(board)
    _tile(board, pen, MARGIN, query, None, ["query"])
    for rank, match in enumerate(found, start=1):
        verdict = {True: "right", False: "wrong", None: "not known"}[match.is_right]
        away = "" if match.away_m is None else f", {match.away_m:.0f} m away"
        degrees = "" if match.degrees is None else f"{match.degrees[0]:.5f}, {match.degrees[1]:.5f}"
        lines = [f"{rank}: {verdict}{away}", f"distance {match.distance:.3f}", degrees]
        _tile(board, pen, MARGIN + rank * step, match.path, match.is_right, lines)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.stem}.partial-{os.getpid()}{file.suffix}")
    try:
        board.save(partial)
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def _tile(
    board: Image.Image, pen: ImageDraw.ImageDraw, left: int, path: Path, is_right: bool | None, lines: list[str]
) -> None:
    with Image.open(path) as image:
        board.paste(ImageOps.pad(upright(image), TILE, color="white"), (left, MARGIN))
    right, bottom = left + TILE[0], MARGIN + TILE[1]
    colour = {True: RIGHT, False: WRONG, None: PLAIN}[is_right]
    if is_right is False:
        _dashed(pen, (left, MARGIN, right, bottom), colour)
    else:
        pen.rectangle((left, MARGIN, right, bottom), outline=colour, width=FRAME if is_right else 1)
    if is_right is not None:
        _mark(pen, right - 44, MARGIN + 12, is_right, colour)
    for number, line in enumerate(lines):
        font = ImageFont.load_default(size=15)
        pen.text((left, bottom + 6 + number * LINE), line, fill=colour if number == 0 else PLAIN, font=font)


def _mark(pen: ImageDraw.ImageDraw, left: int, top: int, is_right: bool, colour: str) -> None:
    """A tick or a cross of 32 pixels on white."""
    pen.rectangle((left, top, left + 32, top + 32), fill="white")
    strokes = [((5, 17), (13, 26), (28, 6))] if is_right else [((6, 6), (26, 26)), ((26, 6), (6, 26))]
    for stroke in strokes:
        pen.line([(left + x, top + y) for x, y in stroke], fill=colour, width=5)


def _dashed(pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], colour: str, dash: int = 14) -> None:
    left, top, right, bottom = box
    for x in range(left, right, 2 * dash):
        for y in (top, bottom - FRAME):
            pen.rectangle((x, y, min(x + dash, right), y + FRAME), fill=colour)
    for y in range(top, bottom, 2 * dash):
        for x in (left, right - FRAME):
            pen.rectangle((x, y, x + FRAME, min(y + dash, bottom)), fill=colour)
