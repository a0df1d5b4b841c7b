"""Two networks: a generator that enlarges by repeating pixels, against checkerboards (Odena et al. 2016); its judge.

    extension: { file: extensions/examples/upsampling.py, options: { kernel: 3 } }

They are initialised as they initialise themselves. For one network alone define one function.
"""

from torch import nn

from sagan.nn.spectral import with_spectral_norm


def build_generator(image, switches, options):
    """z [B, z_dim] -> images [B, C, R, R] in [-1, 1]."""
    sides, width, kernel = _sides(image), switches["width"], options["kernel"]
    layers = [nn.Linear(switches["z_dim"], width * sides[-1] ** 2), nn.Unflatten(1, (width, sides[-1], sides[-1]))]
    for _ in sides[1:]:
        layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.Upsample(scale_factor=2)]
        layers += [_maybe_normalised(nn.Conv2d(width, width, kernel, padding=kernel // 2), switches)]
    layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, image["channels"], 3, padding=1), nn.Tanh()]
    return nn.Sequential(*layers)


def build_discriminator(image, switches, options):
    """Images [B, C, R, R] -> logits [B]."""
    sides, width, channels, layers = _sides(image), switches["width"], image["channels"], []
    for _ in sides[1:]:
        layers += [_maybe_normalised(nn.Conv2d(channels, width, 4, stride=2, padding=1), switches), nn.LeakyReLU(0.2)]
        channels = width
    last = _maybe_normalised(nn.Linear(width * sides[-1] ** 2, 1), switches)
    return nn.Sequential(*layers, nn.Flatten(), last, nn.Flatten(0))


def _sides(image):
    """Of feature maps, from the images' down to one of 8 or less."""
    sides = [image["resolution"]]
    while sides[-1] > 8:
        sides.append(sides[-1] // 2)
    return sides


def _maybe_normalised(layer, switches):
    """Spectral norm by the variant's switch: weights are then saved and averaged as they are computed with."""
    return with_spectral_norm(layer, switches) if switches["spectral_norm"] else layer
