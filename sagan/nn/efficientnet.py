"""EfficientNet-Lite0: B0 (Tan & Le 2019, table 1) without squeeze-excitation and with ReLU6, up to its features."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Kernel, stride of the first block, expansion, channels, blocks.
_STAGES = (
    *((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3)),
    *((5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1)),
)
_EPS = 1e-3
# Of ImageNet's pixels in [0, 1].
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Lite0(nn.Module):
    """Images [B, 1 or 3, R, R] in [-1, 1], of any side -> features [B, 1280], not negative."""

    def __init__(self) -> None:
        super().__init__()
        layers = [_Convolution(3, 32, 3, 2)]
        channels = 32
        for kernel, stride, expansion, after, count in _STAGES:
            for position in range(count):
                layers.append(_Block(channels, after, kernel, 1 if position else stride, expansion))
                channels = after
        self.layers = nn.Sequential(*layers, _Convolution(channels, 1280, 1))
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        pixels = (images.expand(-1, 3, -1, -1) + 1) / 2
        return self.layers((pixels - self.mean) / self.deviation).mean((2, 3))


class _Convolution(nn.Module):
    """Without bias, batch-normalised, padded as TensorFlow does: what is missing, the odd pixel right and below."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1, linear=False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(after, eps=_EPS)
        self.kernel, self.stride, self.linear = kernel, stride, linear

    def forward(self, x_BCHW: Tensor) -> Tensor:
        side = x_BCHW.shape[2]
        missing = max(0, (side - 1) // self.stride * self.stride + self.kernel - side)
        h = self.norm(self.conv(F.pad(x_BCHW, (missing // 2, missing - missing // 2) * 2)))
        return h if self.linear else F.relu6(h)


class _Block(nn.Module):
    """Expanded, convolved channel by channel, projected; added to its input where the shapes are equal."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = expansion * before
        expand = [_Convolution(before, hidden, 1)] if expansion > 1 else []
        depthwise = _Convolution(hidden, hidden, kernel, stride, groups=hidden)
        self.layers = nn.Sequential(*expand, depthwise, _Convolution(hidden, after, 1, linear=True))
        self.skips = stride == 1 and before == after

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.layers(x_BCHW) if self.skips else self.layers(x_BCHW)


def load_lite0(path: Path) -> Lite0:
    """The network with the published weights (`sagan.store.weights`).

    The file names its tensors otherwise, in the order of the pass; its last two are the classes', left out.
    """
    network = Lite0()
    published = list(torch.load(path, map_location="cpu", weights_only=True).values())[:-2]
    network.load_state_dict(dict(zip(network.state_dict(), published, strict=True)))
    return network
