"""A regulariser: the discriminator's squared gradient at real images and at fakes (Mescheder et al. 2018, eq. 9, 10).

    discriminator: { norm: none }
    extension: { file: extensions/examples/zero_centred.py, options: { real: 10, fake: 0 } }

With these options it is what `regularisers: { r1: 10 }` is.
"""

import torch


def penalty(critic, real, fake, options):
    """gamma / 2 |grad D|^2 on each side, gamma being that side's option."""
    return options["real"] / 2 * _squared(critic, real) + options["fake"] / 2 * _squared(critic, fake)


def _squared(critic, images):
    """The mean over images of |grad D|^2. Images come detached: ask for their gradients first."""
    images = images.requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.flatten(1).square().sum(1).mean()
