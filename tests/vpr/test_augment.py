"""Each operation against torchvision's, which works on one uint8 image at a time."""

import pytest
import torch
import torch.nn.functional as F
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
    "solarize": lambda image, sign: tv.solarize(image, augment.SOLARIZE_FROM),
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
@pytest.mark.parametrize("sign", [-1, 1])
def test_operation_is_torchvisions(images, name, sign):
    ours = augment.RANDAUGMENT[name](images.float(), sign)
    twin = torch.stack([TWINS[name](image, sign) for image in images])
    difference = (ours - twin).abs()[..., 4:-4, 4:-4]  # interpolation differs where black meets the picture
    assert difference.mean() < 1.5, difference.mean()  # of 255


@pytest.mark.parametrize("sign", [-1, 1])
def test_shears_are_those_of_a_sampling_grid(images, sign):
    height, width = images.shape[2:]
    shear = sign * augment.SHEAR
    for name, matrix in (
        ("shear_x", [[1, shear * (height / width), 0], [0, 1, 0]]),
        ("shear_y", [[1, 0, 0], [shear * (width / height), 1, 0]]),
    ):
        grid = F.affine_grid(torch.tensor([matrix] * 4, dtype=torch.float32), list(images.shape), align_corners=False)
        twin = F.grid_sample(images.float(), grid, align_corners=False)
        assert torch.allclose(augment.RANDAUGMENT[name](images.float(), sign), twin, atol=0.01)


def test_geometry_moves_by_the_stated_amount():
    point = torch.zeros(1, 3, 41, 61)
    point[..., 20, 30] = 255
    for sign in (-1, 1):
        moved = augment.RANDAUGMENT["translate_x"](point.clone(), sign)[:, 0].flatten(1).argmax() % 61
        assert moved - 30 == -sign * int(61 * augment.TRANSLATE)
        moved = augment.RANDAUGMENT["translate_y"](point.clone(), sign)[:, 0].flatten(1).argmax() // 61
        assert moved - 20 == -sign * int(41 * augment.TRANSLATE)
        for name in ("shear_x", "shear_y", "rotate"):
            assert augment.RANDAUGMENT[name](point.clone(), sign)[:, 0].flatten(1).argmax() == 20 * 61 + 30


def test_nearly_every_image_is_changed_and_each_in_its_own_way(images):
    many = images[:1].expand(400, -1, -1, -1)
    out = augment.randaugment(many, torch.Generator().manual_seed(1))
    assert len({tuple(image.flatten()[::50].tolist()) for image in out}) > 200
    assert (out != augment.none(many)).flatten(1).any(dim=1).float().mean() > 0.9
    assert out.min() >= 0 and out.max() <= 1 + 1e-6


def test_an_image_alone_is_augmented_as_in_a_batch(images):
    """A CPU takes images one by one, a GPU all at once."""
    generator = torch.Generator().manual_seed(2)
    many = images.repeat(10, 1, 1, 1).float()
    for function, draws in (
        (augment.operate, torch.randint(2 * len(augment.RANDAUGMENT), (40, augment.OPERATIONS), generator=generator)),
        (augment.crop_and_colour, torch.rand(40, 60 + 40 + 3, generator=generator)),
    ):
        together = function(many.clone(), draws)
        alone = torch.cat([function(many[row : row + 1].clone(), draws[row : row + 1]) for row in range(40)])
        assert torch.allclose(together, alone, atol=0.01)


@pytest.mark.parametrize("name", sorted(augment.AUGMENTS))
def test_a_policy_gives_new_numbers_in_0_to_1_and_leaves_its_input(images, name):
    before = images.clone()
    out = augment.AUGMENTS[name](images, torch.Generator().manual_seed(3))
    assert out.dtype == torch.float32 and out.shape == images.shape and out.min() >= 0 and out.max() <= 1
    assert (images == before).all()
