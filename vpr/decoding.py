"""Image files decoded into the pixels that a viewer shows: upright, 8 bits, RGB."""

import errno
import io
import platform
import stat
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import PIL
import simplejpeg
from PIL import Image

from vpr.errors import BadImagesError

IS_RESIZED_BY_TORCH = platform.machine() in ("x86_64", "AMD64")
"""Torch's resize of uint8 uses AVX2 and takes a third of Pillow's time. It has no such code for ARM, so Pillow resizes there."""
DECODER = f"upright-turbo{simplejpeg.__version__}-" + (
    f"torch{version('torch').partition('+')[0]}" if IS_RESIZED_BY_TORCH else f"pillow{PIL.__version__}"
)
"""What decoded and resized the images. Part of a store's file name, so that two decoders never share a store."""
DECODE_ERRORS = (OSError, Image.DecompressionBombError, ValueError, SyntaxError)
"""What decoding raises for bytes that are not an image."""
OF_THE_FILE = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO}
"""Numbers of an OSError that is caused by the file itself. Any other is an error of the disk or of the machine."""
KINDS = {
    stat.S_IFDIR: "is a folder, not a file",
    stat.S_IFIFO: "is a named pipe, not a file",
    stat.S_IFSOCK: "is a socket, not a file",
    stat.S_IFCHR: "is a device, not a file",
    stat.S_IFBLK: "is a device, not a file",
}
FAST_PIXELS = 80_000_000
"""Larger JPEGs are decoded by Pillow, which refuses images of more than 179 megapixels."""
REDUCING_GAP = 2
"""How much larger than wanted a JPEG that is decoded at a fraction of its size must remain."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its EXIF orientation."""
ORIENTATION = 0x0112
MARKS = (b"Exif\0\0", b"tiff:Orientation")
"""Only a file that contains one of these can say an orientation (EXIF, XMP)."""

# Pillow warns of every large image and of every unusual tag, as two raw lines on stderr. Errors stay errors.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_file(path: Path) -> bytes:
    """Return the bytes of an image file.

    What is not a regular file is never opened: opening a named pipe would wait for ever.

    Raises:
        BadImagesError: The file itself is the cause (missing, empty, not a file, no permission).
        OSError: The disk or the machine is the cause.
    """
    try:
        facts = path.stat()
        if reason := KINDS.get(stat.S_IFMT(facts.st_mode)):
            raise BadImagesError({path: reason}, heals=True)
        if facts.st_size == 0:
            raise BadImagesError({path: "is empty"})
        return path.read_bytes()
    except OSError as error:
        if error.errno not in OF_THE_FILE:
            raise
        raise BadImagesError({path: _reason(path, error)}, heals=True) from None


def decode(data: bytes, image_size: tuple[int, int]) -> np.ndarray:
    """Decode and resize an image with an antialiased bilinear filter.

    A JPEG without an orientation is decoded by libjpeg-turbo, whose pixels are those of Pillow, and everything else by
    Pillow. On x86 torch resizes; over 1,662 real photographs and five sizes its values differ from Pillow's by at most 2 of
    255, and by 0.01 in the mean. A JPEG of more than four times the wanted height and width is first decoded at a half, quarter or
    eighth, which changes the values by 0.2 in the mean and by up to 11.

    Args:
        data: Content of the file.
        image_size: Wanted height and width in pixels.

    Returns:
        The image (3, H, W), uint8.

    Raises:
        OSError, ValueError, SyntaxError or DecompressionBombError (`DECODE_ERRORS`): `data` is not a whole image.
    """
    pixels = _decode_jpeg(data, image_size)
    if pixels is None:
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.array(upright(image))  # a copy: Torch warns of memory that it may not write
    return _resize(pixels, image_size).transpose(2, 0, 1)  # (H, W, 3) -> (3, H, W)


def upright(image: Image.Image) -> Image.Image:
    """Return an image in RGB as a viewer shows it.

    The orientation that EXIF says is applied. Of 16 bits the upper 8 are kept, as Pillow does for 16-bit colour.
    Transparent images are laid on white.

    Raises:
        ValueError: The pixels are numbers without a known range (floating point, more than 16 bits).
    """
    image.load()
    turn = TURNS.get(_orientation(image))
    colour = _rgb(image)
    return colour if turn is None else colour.transpose(turn)


def _reason(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "is a broken link" if path.is_symlink() else "is not there"
    if error.errno == errno.ELOOP:
        return "is a link that leads to itself"
    return f"cannot be opened: {error.strerror or error}"


def _decode_jpeg(data: bytes, image_size: tuple[int, int]) -> np.ndarray | None:
    """Return the pixels (H, W, 3) of an ordinary JPEG, or None where Pillow must decide."""
    if not data.startswith(b"\xff\xd8\xff") or (any(mark in data for mark in MARKS) and _is_turned(data)):
        return None
    height, width = (REDUCING_GAP * side for side in image_size)
    try:
        rows, columns, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours in ("CMYK", "YCCK") or rows * columns > FAST_PIXELS:
            return None
        # min_factor: three quarters and the like take longer than the whole image.
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, min_height=height, min_width=width, min_factor=2)
        return pixels
    except ValueError:  # also for what is only unusual: Pillow says whether the file is corrupt
        return None


def _is_turned(data: bytes) -> bool:
    with Image.open(io.BytesIO(data)) as image:
        return _orientation(image) in TURNS


def _orientation(image: Image.Image) -> int:
    """Return the orientation that EXIF or XMP says, 1 (upright) if neither does."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # a corrupt tag can raise anything, and viewers show the image as it is
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "F":
        raise ValueError("has floating-point pixels, whose range is not known; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > 0xFFFF:
            raise ValueError("has pixels of more than 16 bits, whose range is not known; save it with 8 or 16 bits")
        return Image.fromarray((levels >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        above = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", above.size, "white"), above).convert("RGB")
    return image.convert("RGB")


def _resize(pixels: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Resize (h, w, 3) uint8 to (H, W, 3), antialiased and bilinear."""
    height, width = image_size
    if pixels.shape[:2] == (height, width):
        return pixels
    if not IS_RESIZED_BY_TORCH:
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
    import torch  # only here: its import takes seconds, which images of the right size need not wait

    images = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)  # (1, 3, h, w), channels last
    resized = torch.nn.functional.interpolate(images, image_size, mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()
