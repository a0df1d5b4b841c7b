"""A regulariser of the generator: means and variances of a fixed network's features (GFMN, Santos et al. 2019).

    extension: { file: extensions/examples/moments.py, options: { weight: 0.01, network: resnet18, pretrained: true } }
    ranked: false

`network` is any of timm's. A generator that is trained on a ruler's features is rewarded by that ruler without better
images (Kynkaanniemi et al. 2022): `ranked: false` keeps such a variant out of comparisons.
"""

from functools import cache

import timm
import torch


def generator_penalty(generator, real, fake, options):
    """weight (|| E f(x) - E f(G(z)) ||^2 + || Var f(x) - Var f(G(z)) ||^2), of the batch."""
    network = _network(options["network"], options["pretrained"], real.device)
    with torch.no_grad():
        wanted = _moments(network(_three_channels(real)))
    return options["weight"] * (wanted - _moments(network(_three_channels(fake)))).square().sum()


@cache
def _network(name, pretrained, device):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model(name, pretrained=pretrained, num_classes=0)
    return network.eval().requires_grad_(False).to(device)


def _three_channels(images):
    return images if images.shape[1] == 3 else images.expand(-1, 3, -1, -1)


def _moments(features):
    return torch.stack([features.mean(0), features.var(0, correction=0)])
