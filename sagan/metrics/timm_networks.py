"""Any network of timm as a feature space; timm is an extra: `pip install sagan[timm]`."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from sagan.errors import UserError, did_you_mean, first_line
from sagan.store.paths import TIMM


class TimmNetwork(nn.Module):
    """The pooled features of a network of timm, its head left out.

    Images are resized, cropped and normalised as its own data configuration says.

    Args:
        name: as timm has it, such as "vit_base_patch14_dinov2.lvd142m".
        path: its weights as published (`model.safetensors`).

    Raises:
        UserError: timm is not installed, has no such network, or the file is not of it.
    """

    def __init__(self, name: str, path: Path) -> None:
        super().__init__()
        timm = import_timm()
        try:
            self.network, other = (_loaded(name, path, seed) for seed in (0, 1))
            # timm passes over what a file lacks, and leaves those weights as they were drawn.
            drawn = [
                key for key, value in other.state_dict().items() if not value.equal(self.network.state_dict()[key])
            ]
            if drawn:
                raise KeyError(f"it has no {drawn[0]}")
        except (RuntimeError, KeyError, ValueError, OSError, SafetensorError) as error:
            if not timm.is_model(name.partition(".")[0]):
                raise unknown(name) from None
            raise UserError(
                f"{path}: not the weights of {name!r} ({first_line(error)}); delete it and fetch it anew with "
                f"`python -m sagan weights {TIMM}{name}`"
            ) from None
        config = timm.data.resolve_data_config(model=self.network)
        self.prepare = timm.data.create_transform(**config)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """uint8 [B, 3, R, R] -> features [B, D]."""
        return (self.network(self.prepare(images.float() / 255)),)


def _loaded(name: str, path: Path, seed: int) -> nn.Module:
    """The network with what the file has, by timm's own way, which knows how each was published."""
    overlay = {"file": str(path), "hf_hub_id": None, "url": ""}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return import_timm().create_model(name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay)


def import_timm():
    """timm, or one line that says how to get it."""
    try:
        import timm
    except ImportError:
        raise UserError("feature spaces `timm:NAME` need the package timm: pip install 'timm>=1.0.20'") from None
    return timm


def unknown(name: str) -> UserError:
    """That timm has no such network."""
    timm = import_timm()
    return UserError(f"{TIMM}{name}: timm has no such network{did_you_mean(name, timm.list_models())}")
