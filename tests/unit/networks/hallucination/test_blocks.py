"""Building blocks: their start and their sizes."""

import pytest
import torch

from rim_lightning.networks.hallucination.blocks import (
    BRANCH_START,
    Hourglass,
    Pyramid,
    ResidualBlock,
    ResidualStack,
    conv,
    normalization,
)


def test_transposed_enlargement_of_the_authors_code_has_their_size():
    pyramid = Pyramid(192, [64, 64], [0, 1], [4], norm="instance", upsampling="transposed")
    assert pyramid(torch.zeros(1, 192, 14, 14)).shape == (1, 3, 56, 56)


def test_the_rgb_layer_may_make_the_last_enlargement():
    pyramid = Pyramid(12, [8, 6], [1, 0], [2, 4])
    assert pyramid(torch.zeros(1, 12, 8, 8)).shape == (1, 3, 64, 64)
    with pytest.raises(ValueError, match="perhaps one after the last"):
        Pyramid(12, [8, 6], [1, 0], [2, 4, 2])
    with pytest.raises(ValueError, match='upsampling must be "pixel_shuffle" or "transposed", got "nearest"'):
        Pyramid(12, [8, 6], [1, 0], [2, 4], upsampling="nearest")


@pytest.mark.parametrize("norm", ["none", "instance", "group"])
def test_a_convolution_before_a_norm_has_no_bias_and_a_branch_without_norm_starts_small(norm):
    torch.manual_seed(0)
    first, _, _, last, _ = ResidualBlock(64, norm).body
    he = (2 / (1 + 0.25**2) / (9 * 64)) ** 0.5
    assert first.weight.std().item() == pytest.approx(he, rel=0.02)
    assert last.weight.std().item() == pytest.approx((BRANCH_START if norm == "none" else 1) * he, rel=0.02)
    assert all((layer.bias is None) is (norm != "none") for layer in (first, last))


def test_a_stack_applies_the_same_blocks_several_times():
    torch.manual_seed(0)
    stack = ResidualStack(4, 2, repeats=3).double()
    x = torch.randn(1, 4, 5, 5, dtype=torch.float64)
    first, second = stack.blocks
    expected = x
    for _ in range(3):
        expected = second(first(expected))
    assert torch.equal(stack(x), expected)


def test_an_hourglass_adds_a_skip_connection_at_each_size():
    torch.manual_seed(0)
    hourglass = Hourglass(4, 2).double()
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64)

    def nearest(maps):
        return maps.repeat_interleave(2, -1).repeat_interleave(2, -2)

    def halved(maps):
        return maps.unflatten(-1, (-1, 2)).mean(-1).unflatten(-2, (-1, 2)).mean(-2)

    inner = hourglass.inner
    middle = hourglass.down[1](halved(x))
    smallest = inner.inner(inner.down[1](halved(middle)))
    expected = hourglass.skip(x) + nearest(inner.skip(middle) + nearest(smallest))
    torch.testing.assert_close(hourglass(x), expected)


def test_a_bilinear_hourglass_leaves_no_blocks():
    """Behind maps of one value per block of 4 pixels, only interpolation makes neighbors differ within a block."""
    torch.manual_seed(0)
    x = torch.randn(1, 4, 16, 16)
    inner = {}
    for interpolation in ("nearest", "bilinear"):
        hourglass = Hourglass(4, 2, interpolation=interpolation)
        maps = hourglass(x) - hourglass.skip(x)  # enlarged from a quarter of the pixels
        inner[interpolation] = ((maps[..., ::2] - maps[..., 1::2]).abs() < 1e-5).float().mean().item()
    assert inner == {"nearest": 1.0, "bilinear": 0.0}
    with pytest.raises(ValueError, match='by "nearest" or "bilinear"'):
        Hourglass(4, 1, interpolation="cubic")


def test_norms_by_name():
    assert isinstance(normalization("none", 16), torch.nn.Identity)
    assert normalization("instance", 16).affine
    assert normalization("group", 16).num_groups == 2
    assert normalization("group", 4).num_groups == 1
    with pytest.raises(ValueError, match='"none", "instance" or "group", got "batch"'):
        normalization("batch", 16)


def test_a_convolution_keeps_the_size():
    for kernel in (1, 3, 7):
        assert conv(2, 3, kernel)(torch.zeros(1, 2, 9, 9)).shape == (1, 3, 9, 9)
