"""The looks at a face, and the mean over them."""

import torch
import torch.nn.functional as F

from rim_lightning.functional.looks import averaged, looks


def numbered(side):
    """A picture whose pixels are numbered row by row."""
    return torch.arange(float(side * side)).reshape(1, 1, side, side)


def test_a_moved_look_has_the_pixels_beside_and_repeats_the_border():
    face = numbered(4)
    own, left, right, up, down = looks(face, flip=False, shift=0.25)
    assert own is face
    assert torch.equal(left[..., :3], face[..., 1:])
    assert torch.equal(left[..., 3], face[..., 3])
    assert torch.equal(right[..., 1:], face[..., :3])
    assert torch.equal(right[..., 0], face[..., 0])
    assert torch.equal(up[..., :3, :], face[..., 1:, :])
    assert torch.equal(down[..., 0, :], face[..., 0, :])
    assert torch.equal(down[..., 1:, :], face[..., :3, :])


def test_the_step_is_a_share_of_the_side():
    left = looks(numbered(100), flip=False, shift=0.02)[1]
    assert torch.equal(left[..., :98], numbered(100)[..., 2:])
    least = looks(numbered(16), flip=False, shift=0.001)[1]
    assert torch.equal(least[..., :15], numbered(16)[..., 1:])


def test_mirrored_looks_come_behind():
    face = numbered(4)
    assert len(looks(face, flip=False, shift=0)) == 1
    plain, both = looks(face, flip=False, shift=0.25), looks(face, flip=True, shift=0.25)
    assert len(both) == 10
    for view, mirrored in zip(plain, both[5:], strict=True):
        assert torch.equal(mirrored, view.flip(-1))


def test_every_look_weighs_the_same():
    faces = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def embed(view):
        return view.flatten(1)[:, :5] * 7

    assert torch.equal(averaged(embed, faces), F.normalize(embed(faces)))
    views = looks(faces, True, 0.2)
    mean = sum(embed(view).double() / embed(view).double().norm(dim=1, keepdim=True) for view in views) / 10
    expected = (mean / mean.norm(dim=1, keepdim=True)).float()
    torch.testing.assert_close(averaged(embed, faces, flip=True, shift=0.2), expected)
