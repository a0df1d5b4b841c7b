"""Whatever the device, all that is random in a run is drawn on the CPU: a GPU's run starts and goes on as a CPU's."""

import copy

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sagan.params.run import RunConfig
from sagan.training.batches import Noise, RealBatches
from sagan.training.step import Trainer
from tests import varied

CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta")


class Draws(TorchDispatchMode):
    """Where each random operation draws."""

    def __init__(self):
        super().__init__()
        self.devices = []

    def __torch_dispatch__(self, function, types, arguments=(), kwargs=None):
        found = function(*arguments, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in function.tags:
            self.devices.append(found.device.type)
        return found


def with_everything_random(run) -> RunConfig:
    return varied(
        run,
        image={"classes": ["a", "b", "c"]},
        condition="class",
        discriminator={"norm": "none", "width": 8, "attention_at": [14]},
        augment=["color", "translation", "cutout"],
        regularisers={"gradient_penalty": 1.0},
    ).typed


def test_z_images_coins_labels_mixing_and_augmentation_are_drawn_on_the_cpu_and_sent(run, images):
    trainer, labels = Trainer(with_everything_random(run), CPU, np.arange(10) % 3), np.arange(10) % 3
    trainer.device = ELSEWHERE
    real, noise = RealBatches(images, 4, 0, True, ELSEWHERE, labels), Noise(4, 8, 0, "z", ELSEWHERE)
    with Draws() as draws:
        inputs = trainer._inputs(5, 6, real, noise)
    assert {value.device for value in inputs.values()} == {ELSEWHERE}
    # The order of images, coins, z, drawn labels, shares of mixing, three sets of numbers for augmentation.
    assert len(draws.devices) >= 8 and set(draws.devices) == {"cpu"}


def test_first_weights_are_drawn_on_the_cpu_and_sent(run):
    sent = []

    class Elsewhere(Trainer):
        def _placed(self, network):
            there = super()._placed(copy.deepcopy(network))
            sent.append({value.device for value in there.state_dict().values()})
            return network  # no step can be computed there

        def _adam(self, network, *settings):
            return None

    with Draws() as draws:
        Elsewhere(with_everything_random(run), ELSEWHERE)
    assert sent == [{ELSEWHERE}] * 3
    assert len(draws.devices) > 20 and set(draws.devices) == {"cpu"}
