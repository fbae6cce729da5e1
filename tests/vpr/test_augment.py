"""Each operation against torchvision's, which works on one uint8 image at a time."""

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from vpr import augment

BILINEAR = InterpolationMode.BILINEAR


TWINS = {
    "identity": lambda image, sign: image,
    "brightness": lambda image, sign: tv.adjust_brightness(image, 1 + sign * augment.ENHANCE),
    "color": lambda image, sign: tv.adjust_saturation(image, 1 + sign * augment.ENHANCE),
    "contrast": lambda image, sign: tv.adjust_contrast(image, 1 + sign * augment.ENHANCE),
    "sharpness": lambda image, sign: tv.adjust_sharpness(image, 1 + sign * augment.ENHANCE),
    "posterize": lambda image, sign: tv.posterize(image, augment.POSTERIZE_BITS),
    "solarize": lambda image, sign: tv.solarize(image, augment.SOLARIZE_ABOVE * 255),
    "autocontrast": lambda image, sign: tv.autocontrast(image),
    "equalize": lambda image, sign: tv.equalize(image),
    "rotate": lambda image, sign: tv.rotate(image, sign * 9.0, interpolation=BILINEAR),
}


@pytest.fixture(scope="module")
def images():
    """Smooth pictures, as photographs are: (4, 3, 40, 60) uint8."""
    noise = torch.rand(4, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    return (torch.nn.functional.interpolate(noise, (40, 60), mode="bilinear") * 200 + 20).to(torch.uint8)


@pytest.mark.parametrize("name", sorted(TWINS))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_operation_is_torchvisions(images, name, sign):
    ours = augment.RANDAUGMENT[name](images / 255, torch.full((4,), sign))
    twin = torch.stack([TWINS[name](image, sign) for image in images]) / 255
    difference = (ours - twin).abs()[..., 4:-4, 4:-4]  # interpolation differs where black meets the picture
    assert difference.mean() < 0.006, difference.mean()


def test_geometry_moves_by_the_stated_amount():
    point = torch.zeros(2, 3, 41, 61)
    point[..., 20, 30] = 1
    signs = torch.tensor([-1.0, 1.0])
    moved = augment.RANDAUGMENT["translate_x"](point, signs)[:, 0].flatten(1).argmax(dim=1) % 61
    assert (moved - 30).tolist() == [round(61 * augment.TRANSLATE), -round(61 * augment.TRANSLATE)]
    for name in ("shear_x", "shear_y", "rotate"):
        assert augment.RANDAUGMENT[name](point, signs)[:, 0].flatten(1).argmax(dim=1).tolist() == [20 * 61 + 30] * 2


def test_nearly_every_image_is_changed_and_each_in_its_own_way(images):
    many = (images / 255)[:1].expand(400, -1, -1, -1)
    out = augment.randaugment(many, torch.Generator().manual_seed(1))
    assert (
        len({tuple(image.flatten()[::50].tolist()) for image in out}) > 200
        and (out != many).flatten(1).any(dim=1).float().mean() > 0.9
    )
