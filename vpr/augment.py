"""Training augmentation on whole batches, with own random parameters for every image.

A policy takes images (B, 3, H, W) uint8 and gives them as float in 0..1. Random numbers come from a generator on the CPU, so
that a GPU is never waited for and a seed gives the same choices on every device.
"""

import math
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

Policy = Callable[[Tensor, torch.Generator], Tensor]
Operation = Callable[[Tensor, int], Tensor]
GRAY = (0.299, 0.587, 0.114)  # ITU-R 601 luma, as in PIL and torchvision

# RandAugment (Cubuk et al. 2020) as torchvision has it: magnitude 9 of 0..30, three operations as in the study.
OPERATIONS = 3
LEVEL = 9 / 30
SHEAR, TRANSLATE, ROTATE, ENHANCE = 0.3 * LEVEL, 150 / 331 * LEVEL, math.radians(30 * LEVEL), 0.9 * LEVEL
POSTERIZE_BITS, SOLARIZE_FROM = 8 - round(4 * LEVEL), 255 * (1 - LEVEL)


def none(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """No augmentation: (B, 3, H, W) uint8 -> the same pictures as float in 0..1."""
    return images.float().div_(255)


def light(images: Tensor, generator: torch.Generator) -> Tensor:
    """A crop of 80-100 % of each side, and brightness, contrast and saturation within 25 %; no flip: it makes another place."""
    count, (height, width) = len(images), images.shape[2:]
    draws = torch.rand(6, count, generator=generator).to(images.device, non_blocking=True)
    scale, shift_x, shift_y, *factors = draws
    scale = 0.8 + 0.2 * scale
    columns = _crop(scale, shift_x, width)
    rows = _crop(scale, shift_y, height)
    brightness, contrast, saturation = (0.75 + 0.5 * factor[:, None] for factor in factors)
    # brightness x; then c x + (1 - c) mean gray; then s x + (1 - s) gray: all linear in x, its gray and its mean gray.
    shares = (saturation * contrast * brightness, (1 - saturation) * contrast * brightness, (1 - contrast) * brightness)
    return _in_parts(images, torch.cat([columns, rows, *shares], dim=1), crop_and_colour)


def randaugment(images: Tensor, generator: torch.Generator) -> Tensor:
    """RandAugment(3, magnitude 9): three operations an image, each drawn from the same fourteen and both signs."""
    drawn = torch.randint(2 * len(RANDAUGMENT), (len(images), OPERATIONS), generator=generator)
    return _in_parts(images, drawn, operate)


AUGMENTS: dict[str, Policy] = {"none": none, "light": light, "randaugment": randaugment}


def _in_parts(images: Tensor, draws: Tensor, augment: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """`augment` for images (n, 3, H, W) float in 0..255 and their draws (n, ...), with the n that suits the device.

    A CPU takes one image through all of its operations while it is in the cache; a GPU takes all images at once.
    """
    out = torch.empty(images.shape, device=images.device)
    step = 1 if images.device.type == "cpu" else len(images)
    for part, own, target in zip(images.split(step), draws.split(step), out.split(step), strict=True):
        torch.div(augment(part.float(), own), 255, out=target)
    return out


def _crop(scale: Tensor, shift: Tensor, length: int) -> Tensor:
    """(B,) shares of a side and shifts in 0..1 -> (B, length) where its pixels come from, in -1..1."""
    centres = (torch.arange(length, device=scale.device) * 2 + 1) / length - 1
    return scale[:, None] * centres + ((2 * shift - 1) * (1 - scale))[:, None]


def crop_and_colour(images: Tensor, draws: Tensor) -> Tensor:
    """`light` for images (n, 3, H, W) float in 0..255.

    draws: (n, W + H + 3), for each image the places of its columns and rows, and the shares of itself, gray and mean gray.
    """
    count, _, height, width = images.shape
    columns, rows, shares = draws.split([width, height, 3], dim=1)
    grid = torch.empty(count, height, width, 2, device=images.device)  # affine_grid gives the same, three times slower
    grid[..., 0], grid[..., 1] = columns[:, None, :], rows[:, :, None]
    images = F.grid_sample(images, grid, align_corners=False)
    own, gray_share, mean_share = shares[..., None, None].split(1, dim=1)  # (n, 1, 1, 1)
    gray = _gray(images)  # (n, 1, H, W)
    added = gray * gray_share + gray.mean(dim=(2, 3), keepdim=True) * mean_share
    return images.mul_(own).add_(added).clamp_(0, 255)


def operate(images: Tensor, drawn: Tensor) -> Tensor:
    """`randaugment` for images (n, 3, H, W) float in 0..255, which it may change; drawn: (n, operations), numbers 2 i and 2 i + 1
    are operation i with sign 1 and -1."""
    operations = list(RANDAUGMENT.values())
    for chosen in drawn.T.tolist():
        for number in sorted(set(chosen)):
            operation, sign = operations[number // 2], 1 - 2 * (number % 2)
            if len(chosen) == 1:
                images = operation(images, sign)
            else:
                rows = torch.tensor([row for row, other in enumerate(chosen) if other == number])
                rows = rows.to(images.device, non_blocking=True)
                images[rows] = operation(images[rows], sign)
    return images


def _blend(images: Tensor, other: Tensor, factor: float) -> Tensor:
    """factor 1 keeps the image, 0 gives `other`, above 1 leads away from it."""
    return torch.lerp(other, images, factor).clamp_(0, 255)


def _gray(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(dim=1)
    return (red * GRAY[0]).add_(green, alpha=GRAY[1]).add_(blue, alpha=GRAY[2]).unsqueeze_(1)  # (n, 1, H, W)


def _black(images: Tensor) -> Tensor:
    return images.new_zeros(1)


def _mean_gray(images: Tensor) -> Tensor:
    return _gray(images).mean(dim=(2, 3), keepdim=True)


def _enhance(other: Callable[[Tensor], Tensor]) -> Operation:
    return lambda images, sign: _blend(images, other(images), 1 + sign * ENHANCE)


def _sharpness(images: Tensor, sign: int) -> Tensor:
    """Away from PIL's SMOOTH filter (1 1 1, 1 5 1, 1 1 1, over 13), or towards it; the border stays."""
    factor = 1 + sign * ENHANCE
    rows = images[:, :, :-2] + images[:, :, 1:-1]
    rows += images[:, :, 2:]  # (n, 3, H-2, W)
    around = rows[..., :-2] + rows[..., 1:-1]
    around += rows[..., 2:]  # (n, 3, H-2, W-2), the sum of nine
    # factor x + (1 - factor) (around + 4 x) / 13, in two passes instead of six
    inner = images[:, :, 1:-1, 1:-1]
    inner.mul_(factor + (1 - factor) * 4 / 13).add_(around, alpha=(1 - factor) / 13)
    return images.clamp_(0, 255)


def _shear(axis: int) -> Operation:
    """Along `axis` (2 or 3), bilinear, black comes in: neighbours are blended line by line, then lines move by whole pixels."""

    @cache
    def moves(sign: int, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor, int]:
        length, lines = (height, width) if axis == 2 else (width, height)
        offset = sign * SHEAR * (torch.arange(lines) - (lines - 1) / 2)  # pixels, of each line
        whole, margin = offset.floor().long(), math.ceil(SHEAR * lines / 2) + 1
        places = torch.arange(length)[:, None] + whole + margin  # (length, lines), where each pixel comes from
        if axis == 2:
            index = places * width + torch.arange(width)
            share = offset - whole
        else:
            index = places.T + (torch.arange(height) * (width + 2 * margin - 1))[:, None]
            share = (offset - whole)[:, None]
        return index.flatten().to(device), share.to(device), margin

    def operation(images: Tensor, sign: int) -> Tensor:
        index, share, margin = moves(sign, *images.shape[2:], images.device)
        padded = F.pad(images, (margin, margin) if axis == 3 else (0, 0, margin, margin))
        length = padded.shape[axis] - 1
        blended = torch.lerp(padded.narrow(axis, 0, length), padded.narrow(axis, 1, length), share)
        return blended.flatten(2).gather(2, index.expand(*images.shape[:2], -1)).view(images.shape)

    return operation


def _rotate(images: Tensor, sign: int) -> Tensor:
    grid = _rotation(sign, *images.shape[2:], images.device)
    return F.grid_sample(images, grid.expand(len(images), -1, -1, -1), align_corners=False)


@cache
def _rotation(sign: int, height: int, width: int, device: torch.device) -> Tensor:
    """(1, H, W, 2) for grid_sample."""
    cosine, sine, aspect = math.cos(ROTATE), sign * math.sin(ROTATE), height / width
    theta = torch.tensor([[[cosine, -sine * aspect, 0], [sine / aspect, cosine, 0]]], device=device)
    return F.affine_grid(theta, [1, 3, height, width], align_corners=False)


def _translate(axis: int) -> Operation:
    """Whole pixels, as torchvision does; black comes in."""

    def operation(images: Tensor, sign: int) -> Tensor:
        length = images.shape[axis]
        by = int(length * TRANSLATE)
        target, source = (by, 0) if sign < 0 else (0, by)
        moved = torch.zeros_like(images)
        moved.narrow(axis, target, length - by).copy_(images.narrow(axis, source, length - by))
        return moved

    return operation


def _posterize(images: Tensor, sign: int) -> Tensor:
    step = 2 ** (8 - POSTERIZE_BITS)
    return images.div_(step).floor_().mul_(step)


def _solarize(images: Tensor, sign: int) -> Tensor:
    # Without a condition, which costs ten times as much on a CPU: half of 255 where an image is dark.
    bright = F.threshold(images, SOLARIZE_FROM, 127.5)
    return images.sub_(bright, alpha=2).add_(255)


def _autocontrast(images: Tensor, sign: int) -> Tensor:
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    is_flat = high <= low
    scale = torch.where(is_flat, 1, 255 / (high - low).clamp_(min=1))
    return images.mul_(scale).sub_(torch.where(is_flat, 0, low * scale)).clamp_(0, 255)


def _equalize(images: Tensor, sign: int) -> Tensor:
    """Histogram equalisation of each channel, as in PIL."""
    count = images.shape[:2].numel()  # n * 3
    first = 256 * torch.arange(count, device=images.device, dtype=torch.int32)  # each channel has 256 levels of its own
    levels = (images.round_().to(torch.int32).reshape(count, -1) + first[:, None]).flatten()
    histogram = _histogram(levels, 256 * count).view(count, 256)
    brightest = 255 - (histogram.flip(1) > 0).byte().argmax(dim=1, keepdim=True)
    last = histogram.gather(1, brightest)
    step = (histogram.sum(dim=1, keepdim=True) - last) // 255
    before = histogram.cumsum(dim=1) - histogram
    table = ((before + step // 2) // step.clamp(min=1)).clamp_(max=255)
    table = torch.where(step > 0, table, torch.arange(256, device=images.device)).to(images.dtype)
    return table.flatten().index_select(0, levels).view_as(images)


def _histogram(levels: Tensor, count: int) -> Tensor:
    """(N,) int32 below `count` -> (count,) int64."""
    if levels.device.type == "cpu":
        return torch.bincount(levels, minlength=count)
    ones = torch.ones((), device=levels.device).expand_as(levels)  # bincount would wait for the GPU
    return torch.zeros(count, device=levels.device).scatter_add_(0, levels.long(), ones).long()


RANDAUGMENT: dict[str, Operation] = {
    "identity": lambda images, sign: images,
    "shear_x": _shear(3),
    "shear_y": _shear(2),
    "translate_x": _translate(3),
    "translate_y": _translate(2),
    "rotate": _rotate,
    "brightness": _enhance(_black),
    "color": _enhance(_gray),
    "contrast": _enhance(_mean_gray),
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
