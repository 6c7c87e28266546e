import pytest
import torch

from rim_lightning.networks.hallucination.blocks import Pyramid, scale_gradient
from rim_lightning.networks.hallucination.coarse import CoarseSR
from rim_lightning.networks.hallucination.network import HallucinationNetwork
from tests.helpers.tiny import MODEL, perturbed


def test_starts_close_to_bicubic_interpolation():
    torch.manual_seed(0)
    network = HallucinationNetwork(MODEL["schemes"], **MODEL["hallucination"])
    enlarged = torch.rand(2, 3, 32, 32)
    output = network(enlarged)
    for image in (output.coarse, output.sr):
        assert 0 < (image - enlarged).std() < 0.2 * enlarged.std()
    for layer in (network.coarse.pyramid.to_rgb, network.integrator.to_rgb):
        torch.nn.init.zeros_(layer.weight)
    output = network(enlarged)
    assert torch.equal(output.coarse, enlarged)
    assert torch.equal(output.sr, enlarged)


def test_coarse_and_sharp_faces_share_the_paths_and_do_not_mix():
    """One pass over both is two passes over each: nothing normalizes over the batch."""
    torch.manual_seed(0)
    network = perturbed(HallucinationNetwork(MODEL["schemes"], **MODEL["hallucination"])).double()
    enlarged, hr = torch.rand(2, 2, 3, 32, 32, dtype=torch.float64)
    together = network(enlarged, hr)
    alone = network.generator(hr)
    torch.testing.assert_close(together.hr_priors.features, alone.features)
    torch.testing.assert_close(together.hr_priors.heatmaps["ibug68"], alone.heatmaps["ibug68"])
    torch.testing.assert_close(together.sr, network(enlarged).sr)


def test_reversed_gradient():
    x = torch.tensor([2.0, -1.0], requires_grad=True)
    (scale_gradient(x, -0.5) ** 2).sum().backward()
    torch.testing.assert_close(x.grad, -0.5 * 2 * x.detach())


def test_transposed_enlargement_of_the_authors_code_has_their_size():
    pyramid = Pyramid(192, [64, 64], [0, 1], [4], norm="instance", upsampling="transposed")
    assert pyramid(torch.zeros(1, 192, 14, 14)).shape == (1, 3, 56, 56)


def test_the_rgb_layer_may_make_the_last_enlargement():
    pyramid = Pyramid(12, [8, 6], [1, 0], [2, 4])
    assert pyramid(torch.zeros(1, 12, 8, 8)).shape == (1, 3, 64, 64)
    with pytest.raises(ValueError, match="perhaps one after the last"):
        Pyramid(12, [8, 6], [1, 0], [2, 4, 2])


def test_coarse_net_refuses_a_reduction_it_cannot_undo():
    with pytest.raises(ValueError, match="reduces by 8 but enlarges by 4"):
        CoarseSR(8, 4, [8, 8, 8], [1, 1, 1], [2, 2])
