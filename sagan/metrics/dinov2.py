"""DINOv2's vision transformers (Oquab et al. 2023, arXiv 2304.07193), read from the files they are published as.

torch-fidelity has them only through `torch.hub`, which fetches code and weights while it measures. Its resizing and
normalising are kept; the network is here. Parameters have the names of the published files.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

_HEAD_WIDTH = 64  # of every published size: 384, 768, 1024 and 1536 are 6, 12, 16 and 24 heads
_NORM_EPS = 1e-6
# Added to the number of patches before the position embedding is resized, as the published code does. It scales the
# sampling points a little, and the features were learnt with it.
_RESIZE_OFFSET = 0.1


class Attention(nn.Module):
    """Multi-head self-attention over tokens, softmax(q k^T / sqrt(64)) v (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        q_BHND, k_BHND, v_BHND = self.qkv(tokens_BNC).unflatten(-1, (3, -1, _HEAD_WIDTH)).permute(2, 0, 3, 1, 4)
        mixed_BHND = F.scaled_dot_product_attention(q_BHND, k_BHND, v_BHND)
        return self.proj(mixed_BHND.transpose(1, 2).flatten(2))


class LayerScale(nn.Module):
    """A learnt factor for each feature of a residual branch (Touvron et al. 2021, arXiv 2103.17239, equation 4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.gamma


class Block(nn.Module):
    """A pre-norm transformer block: attention, then a perceptron four times as wide, each a scaled residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=_NORM_EPS), nn.LayerNorm(width, eps=_NORM_EPS)
        self.attn = Attention(width)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(width, 4 * width), act=nn.GELU(), fc2=nn.Linear(4 * width, width))
        )
        self.ls1, self.ls2 = LayerScale(width), LayerScale(width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class VisionTransformer(nn.Module):
    """Images to the class token after the last block, normalised (Dosovitskiy et al. 2021, arXiv 2010.11929).

    Args:
        width: of a token; a multiple of 64.
        depth: number of blocks.
        patch: side of a patch in pixels.
        grid: patches a side that the position embedding was learnt for (37 in the published files: 518 pixels).
    """

    def __init__(self, width: int, depth: int, patch: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid * grid, width))
        self.patch_embed = nn.Sequential(OrderedDict(proj=nn.Conv2d(3, width, patch, patch)))
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=_NORM_EPS)

    def forward(self, images: Tensor) -> Tensor:
        """float [B, 3, n * patch, n * patch], normalised by ImageNet's mean and deviation -> [B, width]."""
        patches_BCHW = self.patch_embed(images)
        tokens_BNC = patches_BCHW.flatten(2).transpose(1, 2) + self._positions(patches_BCHW.shape[-1])
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(images), -1, -1)
        tokens_BNC = self.blocks(torch.cat([first, tokens_BNC], dim=1))
        return self.norm(tokens_BNC[:, 0])

    def _positions(self, side: int) -> Tensor:
        """The position embedding [1, side * side, width] of an image of side x side patches."""
        if side == self.grid:
            return self.pos_embed[:, 1:]
        learnt = self.pos_embed[:, 1:].unflatten(1, (self.grid, self.grid)).permute(0, 3, 1, 2)
        scale = (side + _RESIZE_OFFSET) / self.grid
        return F.interpolate(learnt, scale_factor=(scale, scale), mode="bicubic").flatten(2).transpose(1, 2)


def read_vision_transformer(path: Path | str) -> VisionTransformer:
    """The network of a published file, `dinov2_vit{s,b,l}14_pretrain.pth`; its size is read off the tensors.

    Raises:
        RuntimeError, KeyError, EOFError, UnpicklingError, OSError: it is another file.
    """
    weights = dict(torch.load(path, map_location="cpu", weights_only=True))
    del weights["mask_token"]  # stands for patches that are hidden in pretraining
    filters = weights["patch_embed.proj.weight"]
    depth = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
    with torch.device("meta"):
        grid = math.isqrt(weights["pos_embed"].shape[1] - 1)
        network = VisionTransformer(filters.shape[0], depth, filters.shape[-1], grid)
    network.load_state_dict(weights, assign=True)
    return network


class DinoV2Extractor(FeatureExtractorDinoV2):
    """torch-fidelity's DINOv2 with the network from a file: uint8 [B, 3, H, W] -> `dinov2` float32 [B, width].

    Images are resized to 224x224 as torch-fidelity does it, bilinearly. Stein et al. 2023 (arXiv 2306.04675), who
    proposed these features for FID, resize bicubically with antialiasing: figures agree with torch-fidelity's, not
    with theirs.

    Args:
        feature_extractor_weights_path: see `read_vision_transformer`.
    """

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: str, **_: object) -> None:
        # Past the parent's own constructor, which would fetch the network over `torch.hub`.
        FeatureExtractorBase.__init__(self, name, features_list)
        self.feature_extractor_internal_dtype = torch.float32
        self.model = read_vision_transformer(feature_extractor_weights_path)
        self.requires_grad_(False).eval()
