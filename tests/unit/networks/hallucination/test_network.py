"""The hallucination network: its start, its two inputs, and where its gradients go."""

import pytest
import torch

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
    together = network(enlarged, hr=hr)
    alone = network.generator(hr)
    torch.testing.assert_close(together.hr_priors.features, alone.features)
    torch.testing.assert_close(together.hr_priors.heatmaps["ibug68"], alone.heatmaps["ibug68"])
    torch.testing.assert_close(together.sr, network(enlarged).sr)


def gradients(**changes):
    """Gradients of a loss on the hallucinated face, by parameter."""
    torch.manual_seed(0)
    network = perturbed(HallucinationNetwork(MODEL["schemes"], **(MODEL["hallucination"] | changes))).double()
    enlarged = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    network(enlarged).sr.square().sum().backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}


def test_pixel_only_keeps_the_gradient_of_the_hallucinated_face_from_the_coarse_net():
    full, pixel_only = gradients(), gradients(coarse_gradient="pixel_only")
    for name, gradient in full.items():
        if name.startswith("coarse."):
            assert gradient.abs().max() > 0
            assert pixel_only[name] is None
        elif gradient is not None:
            torch.testing.assert_close(pixel_only[name], gradient)
    with pytest.raises(ValueError, match='"full" or "pixel_only", got "none"'):
        gradients(coarse_gradient="none")


def test_the_gradient_into_the_prior_paths_is_scaled_and_no_other():
    full = gradients(coarse_gradient="pixel_only")
    scaled = gradients(coarse_gradient="pixel_only", prior_pixel_gradient=0.1)
    for name in full:
        if full[name] is None:  # the heads are not part of the hallucinated face, the coarse net is detached
            assert scaled[name] is None
            continue
        prior = name.startswith(("generator.landmark_path", "generator.parsing_path"))
        torch.testing.assert_close(scaled[name], (0.1 if prior else 1) * full[name])
