"""Self-attention over the positions of a feature map (Zhang et al. 2018, section 3), and its control."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Wrap = Callable[[nn.Module], nn.Module]  # what makes spectrally normalised layers of plain ones, or leaves them

# Channels of a value from which the fused kernel is the faster one on a CPU: below, its vectors are half empty.
_FUSED_FROM = 16


class SelfAttention(nn.Module):
    """x + gamma * o. `gamma` is a scalar that starts at 0: a network begins as it would without attention.

    In the form of the official code, query and key are 1x1 convolutions to C/8, the value one to C/2, and the output
    convolution brings C/2 back to C. Key and value are max-pooled 2x2, so that each of the H*W queries attends to
    H*W/4 keys; the softmax is over unscaled products.

    Args:
        form: "official"; "unpooled": H*W keys; "average-pooled": 2x2 means for maxima; "full-value": unpooled, with
            values of all C channels and no output convolution (common ports).
        bias: whether the convolutions have biases, as they have in the ports; the official code has none.
    """

    def __init__(self, channels: int, wrap: Wrap, form: str = "official", bias: bool = False) -> None:
        super().__init__()
        self.form = form
        full_value = form == "full-value"
        self.query = wrap(nn.Conv2d(channels, max(channels // 8, 1), 1, bias=bias))
        self.key = wrap(nn.Conv2d(channels, max(channels // 8, 1), 1, bias=bias))
        values = channels if full_value else channels // 2
        self.value = wrap(nn.Conv2d(channels, values, 1, bias=bias))
        self.output = nn.Identity() if full_value else wrap(nn.Conv2d(values, channels, 1, bias=bias))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """A feature map with even sides (any sides, where keys are not pooled) to one of the same shape."""
        q_BFN, k_BFM, v_BVM = self._projections(x_BCHW)
        by_products = x_BCHW.device.type == "cpu" and v_BVM.shape[1] < _FUSED_FROM
        o_BVN = (_by_products if by_products else _fused)(q_BFN, k_BFM, v_BVM)
        o_BVHW = o_BVN.unflatten(2, x_BCHW.shape[2:])
        if self.form == "full-value":
            return x_BCHW + self.gamma * o_BVHW
        # gamma on the weight and not on the map: the same product, of fewer numbers.
        bias = None if self.output.bias is None else self.gamma * self.output.bias
        return x_BCHW + F.conv2d(o_BVHW, self.gamma * self.output.weight, bias)

    def attention_map(self, x_BCHW: Tensor) -> Tensor:
        """The weights [B, N, M] themselves: for each of N = H*W queries, a distribution over M keys."""
        q_BNF, k_BMF = self.queries_and_keys(x_BCHW)
        return (q_BNF @ k_BMF.transpose(1, 2)).softmax(dim=-1)

    def queries_and_keys(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """What a map is the softmax of the products of: [B, N, C/8] and [B, M, C/8]."""
        q_BFN, k_BFM, _ = self._projections(x_BCHW)
        return q_BFN.transpose(1, 2), k_BFM.transpose(1, 2)

    def products(self, side: int) -> int:
        """Multiply-adds of the two matrix products for one image with that side."""
        keys = side**2 // (4 if self._pools() else 1)
        return side**2 * keys * (self.query.out_channels + self.value.out_channels)

    def _pools(self) -> bool:
        return self.form in ("official", "average-pooled")

    def _projections(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, F, N], keys [B, F, M] and values [B, V, M]; one convolution makes all three."""
        convs = (self.query, self.key, self.value)
        weight = torch.cat([conv.weight for conv in convs])
        bias = None if self.query.bias is None else torch.cat([conv.bias for conv in convs])
        sizes = [conv.out_channels for conv in convs]
        q_BFHW, kv_BPHW = F.conv2d(x_BCHW, weight, bias).split([sizes[0], sizes[1] + sizes[2]], 1)
        if self._pools():
            kv_BPHW = (F.max_pool2d if self.form == "official" else F.avg_pool2d)(kv_BPHW, 2)
        k_BFHW, v_BVHW = kv_BPHW.split(sizes[1:], 1)
        return q_BFHW.flatten(2), k_BFHW.flatten(2), v_BVHW.flatten(2)


def _by_products(q_BFN: Tensor, k_BFM: Tensor, v_BVM: Tensor) -> Tensor:
    """Values [B, V, N] of the queries, through the whole map; each operand as the products read it fastest."""
    q_BFN, k_BFM, v_BVM = q_BFN.contiguous(), k_BFM.contiguous(), v_BVM.contiguous()
    weights_BMN = torch.bmm(k_BFM.transpose(1, 2), q_BFN).softmax(dim=1)
    return torch.bmm(v_BVM, weights_BMN)


def _fused(q_BFN: Tensor, k_BFM: Tensor, v_BVM: Tensor) -> Tensor:
    """The same through torch's fused kernels, which want sizes that are equal and numbers that lie side by side."""
    missing = v_BVM.shape[1] - q_BFN.shape[1]
    q_BNV, k_BMV = (F.pad(t.transpose(1, 2), (0, missing)) for t in (q_BFN, k_BFM))  # zeros change no product
    v_BMV = v_BVM.transpose(1, 2)
    v_BMV = v_BMV if v_BMV.stride(2) == 1 else v_BMV.contiguous()
    o_BNV = F.scaled_dot_product_attention(*(t.unsqueeze(1) for t in (q_BNV, k_BMV, v_BMV)), scale=1.0).squeeze(1)
    return o_BNV.transpose(1, 2)


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
