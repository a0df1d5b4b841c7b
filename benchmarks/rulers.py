"""Makes the rulers that ship with the package: `python -m benchmarks.rulers`, from data/prepared/mnist-28.

`digits`, `digits-2` and `digits-3` are classifiers of seeds 0, 1 and 2, trained on the 60,000 training digits of MNIST
(LeCun et al. 1998); `random` is the same network, with three channels, before training. Frozen files are one ruler for
all machines: trained on each, it would differ with the CPU's instructions. So this is run once, not by users.
"""

import torch

from sagan.data import load
from sagan.store.paths import RULERS, Paths
from sagan.store.tensors import save_tensors
from sagan.training.classifier import Classifier, accuracy, train_classifier

DIGITS = ("digits", "digits-2", "digits-3")
_CLASSES = 10
_STEPS = 6000


def main() -> None:
    """Write the files of `RULERS`, and print each classifier's accuracy on the test digits."""
    dataset = load(Paths().prepared("mnist", 28))
    for seed, name in enumerate(DIGITS):
        network = train_classifier(*dataset.split("train"), _CLASSES, seed, _STEPS)
        save_tensors(RULERS / f"{name}.safetensors", network.state_dict())
        print(f"{name}: accuracy {accuracy(network, *dataset.split('test')):.4f}", flush=True)
    torch.manual_seed(0)
    save_tensors(RULERS / "random.safetensors", Classifier(3, _CLASSES).state_dict())


if __name__ == "__main__":
    main()
