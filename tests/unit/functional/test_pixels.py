import re
from pathlib import Path

import numpy as np
import pytest
import torch

from rim_lightning.functional.pixels import to_levels, to_pixels

SOURCE = Path(__file__).resolve().parents[3] / "src"

# The one file of each thing, and how a second copy of it would look.
OWNERS = {
    "rim_lightning/functional/pixels.py": r"\.round\(\)(\.clamp\([^()]*\))?\.(byte\(\)|to\((dtype=)?torch\.uint8\))",
    "rim_lightning/functional/resize.py": r"antialias=True|interpolate\(.*mode=.bicubic.",
}


def copies(pattern: str, sources: dict[str, str]) -> list[str]:
    return [name for name, text in sources.items() if re.search(pattern, text)]


def test_every_level_comes_back_and_values_beyond_the_range_are_clipped():
    levels = torch.arange(256)
    assert torch.equal(to_levels(levels / 127.5 - 1), levels.byte())
    assert torch.equal(to_levels(levels / 255, black=0.0), levels.byte())
    assert to_levels(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]
    assert to_levels(torch.tensor([-7.0, 7.0]), black=0.0).tolist() == [0, 255]


def test_a_picture_has_its_channels_last():
    image = torch.tensor([[[-1.0, 0.2]], [[1.0, -0.2]], [[0.0, 2.0]]])  # (3, 1, 2)
    expected = np.array([[[0, 255, 128], [153, 102, 255]]], dtype=np.uint8)  # 127.5 rounds to the even 128
    np.testing.assert_array_equal(to_pixels(image), expected)
    np.testing.assert_array_equal(to_pixels(torch.stack([image, -image]))[0], expected)
    np.testing.assert_array_equal(to_pixels((image + 1) / 2, black=0.0), expected)


@pytest.mark.parametrize("owner", OWNERS)
def test_no_file_has_a_copy_of_its_own(owner):
    sources = {str(file.relative_to(SOURCE)): file.read_text() for file in SOURCE.rglob("*.py")}
    assert copies(OWNERS[owner], sources) == [owner]


@pytest.mark.parametrize(
    "line",
    [
        "pixels = ((image + 1) * 127.5).round().byte().numpy()",
        "pixels = (image * 255).round().to(torch.uint8)",
        "levels = ((image + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()",
        'F.interpolate(x, size, mode="bicubic", align_corners=False)',
        "F.interpolate(x, size, antialias=True)",
    ],
)
def test_a_planted_copy_is_found(line):
    assert sum(copies(pattern, {"planted.py": line}) == ["planted.py"] for pattern in OWNERS.values()) == 1
