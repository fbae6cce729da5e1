"""Training augmentation on whole batches, with own random parameters for every image.

Images are (B, 3, H, W) float in 0..1. Random numbers come from a generator on the CPU, so that a GPU is never waited for
and a seed gives the same choices on every device.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Policy = Callable[[Tensor, torch.Generator], Tensor]
GRAY = (0.299, 0.587, 0.114)  # ITU-R 601 luma, as in PIL and torchvision

# RandAugment (Cubuk et al. 2020) as torchvision has it: magnitude 9 of 0..30, three operations as in the study.
OPERATIONS = 3
LEVEL = 9 / 30
SHEAR, TRANSLATE, ROTATE, ENHANCE = 0.3 * LEVEL, 150 / 331 * LEVEL, math.radians(30 * LEVEL), 0.9 * LEVEL
POSTERIZE_BITS, SOLARIZE_ABOVE = 8 - round(4 * LEVEL), 1 - LEVEL


def none(images: Tensor, generator: torch.Generator) -> Tensor:
    """No augmentation."""
    return images


def light(images: Tensor, generator: torch.Generator) -> Tensor:
    """A crop of 80-100 % of each side, and brightness, contrast and saturation within 25 %; no flip: it makes another place."""
    count = len(images)
    scale, shift_x, shift_y, *factors = torch.rand(6, count, generator=generator).to(images.device, non_blocking=True)
    scale = 0.8 + 0.2 * scale
    room = 1 - scale
    matrices = _matrices(scale, 0 * scale, (2 * shift_x - 1) * room, 0 * scale, scale, (2 * shift_y - 1) * room)
    images = _warp(images, matrices)
    for blend_to, factor in zip((_black, _mean_gray, _gray), factors, strict=True):
        images = _blend(images, blend_to(images), 0.75 + 0.5 * factor)
    return images


def randaugment(images: Tensor, generator: torch.Generator) -> Tensor:
    """RandAugment(3, magnitude 9): three operations an image, each drawn from the same fourteen."""
    images = images.clone()
    for _ in range(OPERATIONS):
        chosen = torch.randint(len(RANDAUGMENT), (len(images),), generator=generator)
        signs = torch.randint(2, (len(images),), generator=generator) * 2.0 - 1.0
        for number, operation in enumerate(RANDAUGMENT.values()):
            rows = (chosen == number).nonzero().flatten()
            if len(rows):
                sign = signs[rows].to(images.device, non_blocking=True)
                rows = rows.to(images.device, non_blocking=True)
                images[rows] = operation(images[rows], sign)
    return images


AUGMENTS: dict[str, Policy] = {"none": none, "light": light, "randaugment": randaugment}


def _matrices(a: Tensor, b: Tensor, tx: Tensor, c: Tensor, d: Tensor, ty: Tensor) -> Tensor:
    """(n,) entries -> (n, 2, 3) matrices from output to input, in half widths and half heights."""
    return torch.stack([torch.stack([a, b, tx], dim=1), torch.stack([c, d, ty], dim=1)], dim=1)


def _warp(images: Tensor, matrices: Tensor) -> Tensor:
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _shear_x(images: Tensor, sign: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    one, zero = torch.ones_like(sign), torch.zeros_like(sign)
    return _warp(images, _matrices(one, sign * SHEAR * height / width, zero, zero, one, zero))


def _shear_y(images: Tensor, sign: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    one, zero = torch.ones_like(sign), torch.zeros_like(sign)
    return _warp(images, _matrices(one, zero, zero, sign * SHEAR * width / height, one, zero))


def _translate_x(images: Tensor, sign: Tensor) -> Tensor:
    one, zero = torch.ones_like(sign), torch.zeros_like(sign)
    return _warp(images, _matrices(one, zero, sign * 2 * TRANSLATE, zero, one, zero))


def _translate_y(images: Tensor, sign: Tensor) -> Tensor:
    one, zero = torch.ones_like(sign), torch.zeros_like(sign)
    return _warp(images, _matrices(one, zero, zero, zero, one, sign * 2 * TRANSLATE))


def _rotate(images: Tensor, sign: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    cosine, sine, zero = torch.cos(sign * ROTATE), torch.sin(sign * ROTATE), torch.zeros_like(sign)
    return _warp(images, _matrices(cosine, -sine * height / width, zero, sine * width / height, cosine, zero))


def _gray(images: Tensor) -> Tensor:
    weights = images.new_tensor(GRAY).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)  # (n, 3, H, W) -> (n, 1, H, W)


def _black(images: Tensor) -> Tensor:
    return images.new_zeros(1)


def _mean_gray(images: Tensor) -> Tensor:
    return _gray(images).mean(dim=(2, 3), keepdim=True)


def _smooth(images: Tensor) -> Tensor:
    """PIL's SMOOTH filter; the border stays."""
    kernel = images.new_tensor([[1, 1, 1], [1, 5, 1], [1, 1, 1]]).div(13).expand(3, 1, 3, 3)
    smooth = images.clone()
    smooth[..., 1:-1, 1:-1] = F.conv2d(images, kernel, groups=3)
    return smooth


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """factor (n,): 1 keeps the image, 0 gives `other`, above 1 leads away from it."""
    factor = factor.view(-1, 1, 1, 1)
    return (factor * images + (1 - factor) * other).clamp(0, 1)


def _posterize(images: Tensor, sign: Tensor) -> Tensor:
    step = 2 ** (8 - POSTERIZE_BITS)
    return (images * 255).round().div(step).floor() * step / 255


def _solarize(images: Tensor, sign: Tensor) -> Tensor:
    return torch.where(images >= SOLARIZE_ABOVE, 1 - images, images)


def _autocontrast(images: Tensor, sign: Tensor) -> Tensor:
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    span = high - low
    return torch.where(span > 0, (images - low) / span.clamp(min=1e-6), images)


def _equalize(images: Tensor, sign: Tensor) -> Tensor:
    """Histogram equalisation of each channel, as in PIL."""
    levels = (images * 255).round().long().flatten(0, 1).flatten(1)  # (n*3, H*W)
    histogram = torch.zeros(len(levels), 256, device=images.device, dtype=torch.long)
    histogram.scatter_add_(1, levels, torch.ones_like(levels))
    last = histogram.gather(1, levels.amax(dim=1, keepdim=True))
    step = (histogram.sum(dim=1, keepdim=True) - last) // 255
    before = histogram.cumsum(dim=1) - histogram
    table = ((before + step // 2) // step.clamp(min=1)).clamp(max=255)
    equalized = table.gather(1, levels).to(images.dtype).div(255).view_as(images)
    return torch.where((step > 0).view(*images.shape[:2], 1, 1), equalized, images)


RANDAUGMENT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "identity": lambda images, sign: images,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
    "rotate": _rotate,
    "brightness": lambda images, sign: _blend(images, _black(images), 1 + sign * ENHANCE),
    "color": lambda images, sign: _blend(images, _gray(images), 1 + sign * ENHANCE),
    "contrast": lambda images, sign: _blend(images, _mean_gray(images), 1 + sign * ENHANCE),
    "sharpness": lambda images, sign: _blend(images, _smooth(images), 1 + sign * ENHANCE),
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
