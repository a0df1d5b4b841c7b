"""A loss: the relativistic average hinge loss (Jolicoeur-Martineau 2019, section 4, RaHingeGAN).

    extension: { file: extensions/examples/relativistic.py, options: { margin: 1.0 } }

The objective's own losses are replaced; everything else stays as the variant has it.
"""

import torch.nn.functional as F


def discriminator_loss(logits_real, logits_fake, options):
    """Real images are to score above the mean fake by a margin, fakes below the mean real image."""
    return _hinge(logits_real, logits_fake, options) + _hinge(-logits_fake, -logits_real, options)


def generator_loss(logits_real, logits_fake, options):
    """The mirror image: fakes above the mean real image. `logits_real` carry no gradient here."""
    return _hinge(logits_fake, logits_real, options) + _hinge(-logits_real, -logits_fake, options)


def _hinge(above, below, options):
    return F.relu(options.get("margin", 1.0) - (above - below.mean())).mean()
