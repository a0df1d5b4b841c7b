"""Self-attention over the positions of a feature map (Zhang et al. 2018, section 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.nn.spectral import spectral_norm as with_spectral_norm


class SelfAttention(nn.Module):
    """x + gamma * o, in the form of the official code.

    Query and key are 1x1 convolutions to C/8, the value one to C/2, and the output convolution
    brings C/2 back to C, all without bias. Key and value are max-pooled 2x2, so that each of the
    H*W queries attends to H*W/4 keys; the softmax is over unscaled products. `gamma` is a scalar
    that starts at 0: a network begins as it would without attention.
    """

    def __init__(self, channels: int, spectral_norm: bool) -> None:
        super().__init__()
        wrap = with_spectral_norm if spectral_norm else nn.Identity()
        self.query = wrap(nn.Conv2d(channels, channels // 8, 1, bias=False))
        self.key = wrap(nn.Conv2d(channels, channels // 8, 1, bias=False))
        self.value = wrap(nn.Conv2d(channels, channels // 2, 1, bias=False))
        self.output = wrap(nn.Conv2d(channels // 2, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """A feature map with even sides to one of the same shape."""
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

    def _project(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        def rows(t_BCHW: Tensor) -> Tensor:
            return t_BCHW.flatten(2).transpose(1, 2).unsqueeze(1)

        query = rows(self.query(x_BCHW))
        key = rows(F.max_pool2d(self.key(x_BCHW), 2))
        value = rows(F.max_pool2d(self.value(x_BCHW), 2))
        return query, key, value


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
