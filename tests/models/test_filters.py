"""How active filters are, by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from logitmix_hf.errors import UserError
from logitmix_hf.models.filters import Filters, filters_of
from logitmix_hf.vision.networks import build_network


def of(*layers):
    return Filters((np.ones(3),), {f"{number}": np.asarray(norms, float) for number, norms in enumerate(layers)})


def test_a_filter_is_active_strictly_above_the_share_of_its_layers_largest():
    assert of([1.0, 0.4, 0.41, 0.0]).active(0.4) == 0.5
    assert of([2.0, 2.0]).active(0.5) == 1.0
    assert of([7.0, 0.0, 0.0, 0.0]).active(0.2) == 0.25
    assert of([1.0, 1.0]).active(1.0) == 0.0


def test_the_mean_is_over_layers_and_not_over_filters():
    assert of([1.0, 0.0], [1.0] * 10).active(0.4) == 0.75


def test_scaling_a_layer_changes_nothing():
    norms = np.random.default_rng(0).random(20)
    assert of(norms).active(0.3) == of(1000 * norms).active(0.3)


@pytest.mark.parametrize(
    ("members", "name", "layers"), [(1, "wideresnet-28-2", 24), (2, "wideresnet-28-2", 24), (3, "wideresnet-10-1", 6)]
)
def test_the_convolutions_of_blocks_count_and_not_the_shortcuts(members, name, layers):
    network = build_network(name, 5, 32, members=members)
    found = filters_of(network)
    assert (len(found.stems), len(found.trunk)) == (members, layers)
    first = network.get_submodule("stem.0")
    weight = (first.members[0] if members > 1 else first).weight
    np.testing.assert_allclose(found.stems[0], [float(one.abs().sum()) for one in weight.detach()], rtol=1e-5)


def test_norms_are_sums_of_absolute_weights():
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 2, 3))
    with torch.no_grad():
        network[1].weight[0] = -2.0
        network[1].weight[1] = 0.5
    np.testing.assert_allclose(filters_of(network).trunk["1"], [18.0, 4.5])


def test_a_network_without_convolutions_is_told():
    with pytest.raises(UserError, match="Linear has no convolutions"):
        filters_of(nn.Linear(2, 2))
