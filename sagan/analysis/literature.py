"""Published FIDs on the data of a suite, each with the protocol that it cannot be parted from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A figure as its source gives it. `protocol` is all that is known of how it was measured."""

    what: str
    fid: str
    protocol: str
    source: str


_LUCIC = "Lucic et al. 2018"
_ON_MNIST = "28x28, Inception features, 10,000 generated against the test split"
_ON_CELEBA = "64x64, crop 160, Inception features, 10,000 generated against the test split"
_DIGITS = (
    Published("non-saturating GAN", "6.8", _ON_MNIST, _LUCIC),
    Published("WGAN", "6.7", _ON_MNIST, _LUCIC),
    Published("DRAGAN", "7.6", _ON_MNIST, _LUCIC),
    Published("least-squares GAN", "7.8", _ON_MNIST, _LUCIC),
    Published("WGAN-GP", "20.3", _ON_MNIST, _LUCIC),
)
# By the kind of dataset in params.yaml.
PUBLISHED = {
    "mnist": _DIGITS,
    "mnist5k": _DIGITS,
    "celeba": (
        Published(
            "SN-GAN, residual network",
            "5.71 ± 0.02",
            "64x64, crop 178, Inception features, 50,000 images of each; 100,000 steps, batch 64, n_dis 5",
            "mimicry (Lee & Town 2020)",
        ),
        Published("DCGAN with TTUR", "12.5", "64x64, Inception features", "Heusel et al. 2017"),
        Published("least-squares GAN, DCGAN's network", "11.93", "64x64, Inception features", "mmgeneration"),
        Published("WGAN-GP", "30.0", _ON_CELEBA, _LUCIC),
        Published("non-saturating GAN", "55.0", _ON_CELEBA, _LUCIC),
    ),
}
