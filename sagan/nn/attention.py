"""Self-attention over the positions of a feature map (Zhang et al. 2018, section 3), and its control."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Wrap = Callable[[nn.Module], nn.Module]


class SelfAttention(nn.Module):
    """x + gamma * o. `gamma` is a scalar that starts at 0: a network begins as it would without attention.

    In the form of the official code, query and key are 1x1 convolutions to C/8, the value one to C/2, and
    the output convolution brings C/2 back to C, all without bias. Key and value are max-pooled 2x2, so that
    each of the H*W queries attends to H*W/4 keys; the softmax is over unscaled products.

    Args:
        wrap: what makes spectrally normalised layers of plain ones, or leaves them.
        form: "official"; "unpooled": H*W keys; "average-pooled": 2x2 means for maxima; "full-value": unpooled,
            with values of all C channels and no output convolution (common ports).
    """

    def __init__(self, channels: int, wrap: Wrap, form: str = "official") -> None:
        super().__init__()
        self.form = form
        full_value = form == "full-value"
        self.query = wrap(nn.Conv2d(channels, max(channels // 8, 1), 1, bias=False))
        self.key = wrap(nn.Conv2d(channels, max(channels // 8, 1), 1, bias=False))
        values = channels if full_value else channels // 2
        self.value = wrap(nn.Conv2d(channels, values, 1, bias=False))
        self.output = nn.Identity() if full_value else wrap(nn.Conv2d(values, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """A feature map with even sides (any sides, where keys are not pooled) to one of the same shape."""
        q_B1NC, k_B1MC, v_B1MC = self._project(x_BCHW)
        # Zeros change no product; fused kernels want queries, keys and values of one size (2-3x on a CPU).
        padding = (0, v_B1MC.shape[-1] - q_B1NC.shape[-1])
        o_B1NC = F.scaled_dot_product_attention(F.pad(q_B1NC, padding), F.pad(k_B1MC, padding), v_B1MC, scale=1.0)
        B, _, H, W = x_BCHW.shape
        o_BCHW = o_B1NC.squeeze(1).transpose(1, 2).reshape(B, -1, H, W)
        return x_BCHW + self.gamma * self.output(o_BCHW)

    def attention_map(self, x_BCHW: Tensor) -> Tensor:
        """The weights [B, N, M] themselves: for each of N = H*W queries, a distribution over M keys."""
        q_B1NC, k_B1MC, _ = self._project(x_BCHW)
        return (q_B1NC @ k_B1MC.transpose(2, 3)).softmax(dim=-1).squeeze(1)

    def products(self, side: int) -> int:
        """Multiply-adds of the two matrix products for one image with that side."""
        keys = side**2 // (4 if self._pools() else 1)
        return side**2 * keys * (self.query.out_channels + self.value.out_channels)

    def _pools(self) -> bool:
        return self.form in ("official", "average-pooled")

    def _project(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        def rows(t_BCHW: Tensor) -> Tensor:
            return t_BCHW.flatten(2).transpose(1, 2).unsqueeze(1)

        def pooled(t_BCHW: Tensor) -> Tensor:
            if not self._pools():
                return t_BCHW
            return F.max_pool2d(t_BCHW, 2) if self.form == "official" else F.avg_pool2d(t_BCHW, 2)

        return rows(self.query(x_BCHW)), rows(pooled(self.key(x_BCHW))), rows(pooled(self.value(x_BCHW)))


class ResidualControl(nn.Module):
    """A residual block in attention's place, with as many parameters (Zhang et al. 2018, section 5.1).

    x + conv3x3(relu(conv3x3(relu(x)))) through round(5C/72) channels: 2 * 9 * C * 5C/72 = 1.25 C^2, which is
    what the four convolutions of the official attention have.
    """

    def __init__(self, channels: int, wrap: Wrap) -> None:
        super().__init__()
        hidden = max(round(5 * channels / 72), 1)
        self.conv1 = wrap(nn.Conv2d(channels, hidden, 3, 1, 1, bias=False))
        self.conv2 = wrap(nn.Conv2d(hidden, channels, 3, 1, 1, bias=False))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.conv2(F.relu(self.conv1(F.relu(x_BCHW))))


def gammas(network: nn.Module) -> dict[int, Tensor]:
    """Feature side -> gamma of its attention layer (scalars on the device)."""
    return {side: module.gamma.detach() for side, module in attention_layers(network).items()}


def attention_layers(network: nn.Module) -> dict[int, SelfAttention]:
    """Feature side -> attention layer of a network, in the order of the pass."""
    layers = {}
    for name, module in network.named_modules():
        if isinstance(module, SelfAttention):
            layers[int(name.rsplit(".", 1)[-1].removeprefix("attention"))] = module
    return layers
