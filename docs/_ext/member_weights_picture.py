"""Draw docs/images/member_weights.png: the weight of a member's loss by its share, for several roots."""

import math
import sys

import matplotlib
import torch

from logitmix_hf.vision.members.plan import member_weights

matplotlib.use("Agg")
from matplotlib import pyplot as plt

shares = torch.linspace(0, 1, 201)
figure, axes = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
for root in (1, 2, 3, 10, math.inf):
    weights = member_weights(torch.stack([shares, 1 - shares], dim=1), root)[:, 0]
    axes.plot(shares, weights, label=f"r = {root:g}")
axes.set(xlabel="share of the member's image", ylabel="weight of its loss", xlim=(0, 1), ylim=(0, 2))
axes.legend(frameon=False)
figure.savefig(sys.argv[1], dpi=110)
