"""The size of the probe as an input: what it changes, and what it leaves as it was."""

import math

import pytest
import torch

from rim_lightning.networks.compared.build import build_super_resolver
from rim_lightning.networks.hallucination.network import HallucinationNetwork
from rim_lightning.networks.probe_size import with_size
from rim_lightning.networks.recognition import ProbeViews
from rim_lightning.networks.rim import RIM
from tests.helpers.tiny import MODEL, perturbed

SIZED = MODEL["hallucination"] | {"size_input": True}


def with_stem(hallucination, stem):
    return hallucination | {"generator": hallucination["generator"] | {"stem": stem}}


def enlarged(count=3, size=32):
    return 2 * torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) - 1


def test_the_channel_is_the_logarithm_of_the_size_over_the_nominal_one():
    images = enlarged(4)
    sized = with_size(images, torch.tensor([4, 8, 16, 100]), 8)
    assert torch.equal(sized[:, :3], images)
    for channel, expected in zip(sized[:, 3], [-math.log(2), 0.0, math.log(2), math.log(4)], strict=True):
        torch.testing.assert_close(channel, torch.full((32, 32), expected))  # 100 px are not more than the 32 there are
    with pytest.raises(ValueError, match=r"One size per probe: \(3,\) sizes for 4 probes"):
        with_size(images, torch.tensor([4, 8, 16]), 8)


@pytest.mark.parametrize("stem", ["conv7", "fold"])
def test_a_network_that_takes_the_size_starts_as_the_one_that_does_not(stem):
    """Its weights of the new channel are zero; all others are copied from the network without."""
    torch.manual_seed(0)
    plain = perturbed(HallucinationNetwork(MODEL["schemes"], **with_stem(MODEL["hallucination"], stem)))
    sized = HallucinationNetwork(MODEL["schemes"], **with_stem(SIZED, stem), lr_size=8)
    weights, silent = plain.state_dict(), 0
    for name, value in sized.state_dict().items():
        if value.shape != weights[name].shape:
            assert value.shape[1] == weights[name].shape[1] + 1
            assert not value[:, -1].any()
            value[:, :-1] = weights[name]
            silent += 1
        else:
            value.copy_(weights[name])
    assert silent == 4  # the coarse net and three paths
    sizes, hr = torch.tensor([4, 8, 12]), enlarged().flip(0)
    ours, expected = sized(enlarged(), sizes, hr), plain(enlarged(), None, hr)
    for image in ("coarse", "sr"):
        torch.testing.assert_close(getattr(ours, image), getattr(expected, image))
    torch.testing.assert_close(ours.hr_priors.features, expected.hr_priors.features)


@pytest.mark.parametrize("stem", ["conv7", "fold"])
def test_sizes_make_a_difference_and_do_not_mix_within_a_batch(stem):
    torch.manual_seed(0)
    network = perturbed(HallucinationNetwork(MODEL["schemes"], **with_stem(SIZED, stem), lr_size=8)).double()
    probes, sizes = enlarged().double(), torch.tensor([4, 8, 12])
    together = network(probes, sizes)
    assert (network(probes, sizes.flip(0)).sr - together.sr)[[0, 2]].abs().amax((1, 2, 3)).min() > 1e-3
    for row, (face, size) in enumerate(zip(probes.split(1), sizes.split(1), strict=True)):
        torch.testing.assert_close(network(face, size).sr, together.sr[row : row + 1])
        torch.testing.assert_close(network.coarse_faces(face, size), together.coarse[row : row + 1])


def test_rim_passes_the_sizes_on_and_refuses_to_work_without():
    torch.manual_seed(0)
    rim = perturbed(RIM(**(MODEL | {"hallucination": SIZED}))).eval()
    assert rim.takes_sizes
    assert not RIM(**MODEL).takes_sizes
    sizes = torch.tensor([4, 8, 12])
    with torch.no_grad():
        expected = rim.hrn.probe(ProbeViews(rim.fhn(enlarged(), sizes).sr))
        assert torch.equal(rim.embed_probe(enlarged(), sizes), expected)
        assert torch.equal(rim.probe_embeddings(enlarged(), sizes).rim, expected)
        assert not torch.equal(rim.embed_probe(enlarged(), sizes.flip(0)), expected)
    for call in (rim.embed_probe, rim.probe_embeddings, rim.fhn):
        with pytest.raises(ValueError, match="takes the size of each probe as an input: give sizes"):
            call(enlarged())
    with pytest.raises(ValueError, match="needs its nominal size: give lr_size"):
        HallucinationNetwork(MODEL["schemes"], **SIZED)


def test_the_coarse_net_alone_takes_sizes_too():
    torch.manual_seed(0)
    network = MODEL["hallucination"]["coarse"]
    alone = perturbed(build_super_resolver("coarse", network=network, size_input=True, lr_size=8))
    assert not torch.equal(alone(enlarged(), torch.tensor([4, 8, 12])), alone(enlarged(), torch.tensor([8, 8, 8])))
    with pytest.raises(ValueError, match="needs its nominal size: give lr_size"):
        build_super_resolver("coarse", network=network, size_input=True)
