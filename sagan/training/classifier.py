"""A small classifier of a dataset's own images: for digits, the space to measure in (docs/metrics.md)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURE_DIM = 128
_STEPS = 600
_BATCH_SIZE = 64
_PEAK_RATE = 3e-3
_MAX_SHIFT = 2


class Classifier(nn.Module):
    """Images uint8 [B, C, R, R] -> features [B, 128] (not negative) and logits [B, classes]."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(channels, 16), nn.MaxPool2d(2), *_block(16, 32), nn.MaxPool2d(2), *_block(32, 64)
        )
        self.to_features = nn.Linear(64 * 4 * 4, FEATURE_DIM)
        self.to_logits = nn.Linear(FEATURE_DIM, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = F.adaptive_avg_pool2d(self.body(images.float() / 127.5 - 1.0), 4)
        features = F.relu(self.to_features(maps.flatten(1)))
        return features, self.to_logits(features)


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def train_classifier(
    images: np.ndarray, labels: np.ndarray, classes: int, seed: int = 0, steps: int | None = None
) -> Classifier:
    """A classifier in eval mode, the same for the same images (uint8 [N, C, R, R]), labels (int64 [N]) and seed.

    It is trained on one CPU thread, whatever the machine has: every figure is measured by it, and other devices or
    numbers of threads would give another network. (GPUs could not train it reproducibly either, for its pooling.)
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _trained(images, labels, classes, seed, steps or _STEPS)
    finally:
        torch.set_num_threads(threads)


def _trained(images: np.ndarray, labels: np.ndarray, classes: int, seed: int, steps: int) -> Classifier:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = Classifier(images.shape[1], classes).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), _PEAK_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_RATE, total_steps=steps)
    all_images = torch.from_numpy(np.array(images))
    all_labels = torch.from_numpy(np.array(labels))
    for _ in range(steps):
        rows = torch.randint(len(all_images), (_BATCH_SIZE,), generator=generator)
        _, logits = network(_shifted(all_images[rows], generator))
        loss = F.cross_entropy(logits, all_labels[rows], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def _shifted(batch: Tensor, generator: torch.Generator) -> Tensor:
    """The whole batch moved by up to two pixels each way, with the border repeated."""
    down, right = torch.randint(0, 2 * _MAX_SHIFT + 1, (2,), generator=generator).tolist()
    padded = F.pad(batch.float(), (_MAX_SHIFT,) * 4, mode="replicate").to(torch.uint8)
    return padded[:, :, down : down + batch.shape[2], right : right + batch.shape[3]]


@torch.no_grad()
def accuracy(network: Classifier, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose class is found, in [0, 1]."""
    correct = 0
    for start in range(0, len(images), 1000):
        _, logits = network(torch.from_numpy(np.array(images[start : start + 1000])))
        correct += int((logits.argmax(1).numpy() == labels[start : start + 1000]).sum())
    return correct / len(images)
