"""The hallucination network: its start, its two inputs, and where its gradients go."""

import pytest
import torch

from rim_lightning.functional.consistency import recovered_probes
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.pixels import to_levels
from rim_lightning.functional.resize import reduce
from rim_lightning.networks.hallucination.components import attention_maps
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
    with pytest.raises(ValueError, match='one of full, pixel_only, trunk, got "none"'):
        gradients(coarse_gradient="none")


def built(**changes):
    """A perturbed network with a choice of options, whose pyramids begin on the same grid."""
    torch.manual_seed(0)
    settings = MODEL["hallucination"] | {"lr_size": 8} | changes
    return perturbed(HallucinationNetwork(MODEL["schemes"], **settings)).double()


def probes(count=2):
    generator = torch.Generator().manual_seed(0)
    return 1.6 * torch.rand(count, 3, 32, 32, dtype=torch.float64, generator=generator) - 0.8


ONE_NETWORK = {"coarse_gradient": "trunk", "integrator_input": "trunk", "residual": "probe", "attention": True}


def test_one_network_by_hand():
    """Trunk of the coarse net, scaled and shifted by the components; added to the probe."""
    network = built(**ONE_NETWORK)
    output = network(probes())
    pyramid = network.coarse.pyramid
    convolution, prelu, stack = pyramid.body[:3]
    trunk = stack(prelu(convolution(network.coarse.fold(probes()))))
    priors = network.generator(output.coarse)
    maps = attention_maps(priors)
    expected = probes() + network.integrator(trunk, maps)
    torch.testing.assert_close(output.sr, expected)
    assert (network.integrator(trunk, maps.roll(1, 0)) - network.integrator(trunk, maps)).abs().max() > 1e-4
    both = built(integrator_input="both", residual="none")
    features = torch.cat([both(probes()).priors.features], dim=1)
    trunk = both.coarse(probes()).trunk
    torch.testing.assert_close(both(probes()).sr, both.integrator(torch.cat([trunk, features], dim=1)))


@pytest.mark.parametrize(("residual", "same"), [(True, "coarse"), (False, "none")])
def test_the_residual_of_older_checkpoints_loads(residual, same):
    assert torch.equal(built(residual=residual)(probes()).sr, built(residual=same)(probes()).sr)


def test_attention_and_an_rgb_layer_from_zero_start_as_the_residual():
    torch.manual_seed(0)
    network = HallucinationNetwork(MODEL["schemes"], **MODEL["hallucination"], **ONE_NETWORK, from_zero=True)
    images = probes().float()
    assert torch.equal(network(images).sr, images)
    assert not torch.equal(network(images).coarse, images)


def test_where_the_gradient_of_one_network_goes():
    """The paths read a detached face; maps without gradient leave the paths to their own losses."""

    def moved(loss, **changes):
        network = built(**(ONE_NETWORK | changes))
        loss(network(probes())).backward()
        grads = {name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()}
        return {name.split(".")[0] for name in grads}

    priors = lambda output: output.priors.parsing_logits.square().sum()  # noqa: E731
    face = lambda output: output.sr.square().sum()  # noqa: E731
    assert moved(priors) == {"generator"}
    assert moved(face) == {"coarse", "generator", "integrator"}
    assert moved(face, prior_pixel_gradient=0.0) == {"coarse", "integrator"}
    assert moved(face, prior_pixel_gradient=0.0, coarse_gradient="pixel_only") == {"integrator"}


def test_a_second_turn_is_the_same_network_on_the_face_of_the_first():
    one, two = built(**ONE_NETWORK), built(**ONE_NETWORK, turns=2)
    assert one.state_dict().keys() == two.state_dict().keys()
    output, first = two(probes(), hr=probes()), one(probes(), hr=probes())
    torch.testing.assert_close(output.earlier[0].sr, first.sr)
    torch.testing.assert_close(output.hr_priors.features, first.hr_priors.features)
    priors = one.generator(first.sr)
    torch.testing.assert_close(output.priors.features, priors.features)
    trunk = one.coarse(probes()).trunk
    torch.testing.assert_close(output.sr, probes() + one.integrator(trunk, attention_maps(priors)))


def test_a_rebuilt_face_is_made_of_the_features_of_the_sharp_one():
    """It moves the paths of the sharp face even where the pixels of the hallucinated one do not."""
    network = built(integrator_input="both", residual="probe", prior_pixel_gradient=0.0)
    hr = probes().flip(0)
    output = network(probes(), hr=hr, rebuild=True)
    assert network(probes(), hr=hr).rebuilt is None
    inputs, _ = network.integrator_inputs(network.coarse(probes()).trunk, network.generator(hr))
    torch.testing.assert_close(output.rebuilt, probes() + network.integrator(inputs))
    output.rebuilt.square().sum().backward()
    assert not any(weight.grad.any() for weight in network.coarse.parameters())
    for path in (network.generator.global_path, network.generator.landmark_path):
        assert all(weight.grad.any() for weight in path.parameters())


@pytest.mark.parametrize("hr_size", [64, 128])
def test_with_consistency_the_face_reduced_again_is_the_probe(hr_size):
    sizes = torch.arange(7, 33, 5)
    network = built(**ONE_NETWORK, consistency=True, turns=2).float()
    small = 1.4 * torch.rand(len(sizes), 3, 9, 9, generator=torch.Generator().manual_seed(3)) - 0.7
    enlarged = synthesize_probe(torch.nn.functional.interpolate(small, (hr_size, hr_size), mode="bicubic"), sizes)
    with torch.no_grad():
        output = network(enlarged, sizes)
    probes_of = recovered_probes(enlarged, sizes)
    for face in (output.earlier[0].sr, output.sr):
        for image, probe in zip(face, probes_of, strict=True):
            again = reduce(image[None], probe.shape[-1])[0]
            assert (to_levels(again).int() - to_levels(probe).int()).abs().max() <= 1
    with pytest.raises(ValueError, match="give sizes"):
        network(enlarged)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"turns": 0}, "has 0 turns of paths and integrator: give 1 or more"),
        ({"residual": "sharp"}, 'residual must be one of coarse, probe, none, got "sharp"'),
        ({"integrator_input": "all"}, 'integrator_input must be one of paths, trunk, both, got "all"'),
    ],
)
def test_wrong_choices_are_named(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        built(**changes)


def test_paths_without_a_global_one_and_with_a_narrow_parsing_path():
    generator = MODEL["hallucination"]["generator"] | {"global_width": 0, "parsing_width": 4}
    network = built(**ONE_NETWORK, generator=generator)
    assert network.generator.channels == 8 + 4
    assert network(probes()).priors.features.shape == (2, 12, 8, 8)
    with pytest.raises(ValueError, match="leave parsing_width out, or shared_prior_trunk"):
        built(generator=generator | {"shared_prior_trunk": True})


def test_the_gradient_into_the_prior_paths_is_scaled_and_no_other():
    full = gradients(coarse_gradient="pixel_only")
    scaled = gradients(coarse_gradient="pixel_only", prior_pixel_gradient=0.1)
    for name in full:
        if full[name] is None:  # the heads are not part of the hallucinated face, the coarse net is detached
            assert scaled[name] is None
            continue
        prior = name.startswith(("generator.landmark_path", "generator.parsing_path"))
        torch.testing.assert_close(scaled[name], (0.1 if prior else 1) * full[name])
