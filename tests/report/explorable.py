"""Queries and keys as an evaluation writes them, for the explorer's page."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from sagan.analysis.build import analyse
from sagan.metrics.pictures import EXPLORABLE_IMAGES, save_explorable
from sagan.nn.attention import SelfAttention
from sagan.report.explorer import render_explorer
from sagan.store.records import read_json, write_json

# Whose pictures the report shows of the suite "few": of two runs the one of the higher FID.
SEED = 1


class Attending(nn.Module):
    """One attention layer over images, of a strength that makes maps worth looking at."""

    def __init__(self, side: int, form: str = "official") -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 16, 28 // side, 28 // side)
        self.add_module(f"attention{side}", SelfAttention(16, nn.Identity(), form))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return list(self.children())[1](self.features(images))


def random_images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def row_of(file: Path, image: int, query: int) -> torch.Tensor:
    """Independently of the page: where a query looks, from the stored numbers."""
    tensors = load_file(file)
    return (tensors["keys"][image].double() @ tensors["queries"][image, query].double()).softmax(0)


def render(library, suite: str = "few") -> Path | None:
    return render_explorer(analyse(suite, library.plan, library.params, library.paths), library.paths)


def file_of(library, network: str = "generator") -> Path:
    folder = library.paths.evaluation(library.cell("few", "sagan", SEED).evaluation)
    return folder / "attention" / f"{network}-14.safetensors"


def add_large_layer(library, suite: str, variant: str, seed: int, dim: int) -> None:
    """Queries and keys of `dim` numbers for 28x28 positions, in both networks."""
    folder = library.paths.evaluation(library.cell(suite, variant, seed).evaluation)
    record, images, network = read_json(folder / "metrics.json"), random_images(EXPLORABLE_IMAGES), Attending(28)
    network.attention28.query, network.attention28.key = (nn.Conv2d(16, dim, 1, bias=False) for _ in "qk")
    for role in ("generator", "discriminator"):
        save_explorable(network, role, images / 127.5 - 1, images, folder / "attention")
        record["attention"][f"{role}.28"] = record["attention"][f"{role}.14"]
    write_json(folder / "metrics.json", record)
