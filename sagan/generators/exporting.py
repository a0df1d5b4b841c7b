"""A trained generator for other programs: ONNX or `torch.export`, each held to the module's own output."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from sagan.errors import UserError
from sagan.generators import generator_of
from sagan.metrics.features import latents
from sagan.store.paths import Paths

_TOLERANCE = 1e-4  # of pixel values in [-1, 1]; an eightieth of one of 256 levels


def export_generator(source: str | Path, out: str | Path, trust: bool = False, paths: Paths | None = None) -> float:
    """Write a generator, given as to `generator_of`, as `.onnx`, or as `.pt2` (`torch.export`), by `out`'s ending.

    The exported form takes z float32 [B, z_dim] of any B (and labels int64 [B] where there are classes), and
    gives images float32 [B, C, R, R] in [-1, 1].

    Returns:
        The largest difference between its pixels and the module's, over 3 images (exported with 2).

    Raises:
        UserError: no generator at `source`, another ending, packages missing, or outputs that differ.
    """
    out, writers = Path(out), {".onnx": _onnx, ".pt2": _program}
    if out.suffix not in writers:
        raise UserError(f"{out}: cannot tell what to write; end the name in .onnx or .pt2")
    generator = generator_of(source, paths, trust)
    out.parent.mkdir(parents=True, exist_ok=True)
    inputs = _inputs(generator, 3)
    with torch.no_grad(), tempfile.TemporaryDirectory(dir=out.parent) as folder:
        fresh = Path(folder) / out.name
        exported = writers[out.suffix](generator, fresh, inputs)
        difference = float((exported - generator(*inputs.values())).abs().max())
        if not difference <= _TOLERANCE:
            raise UserError(
                f"{out}: the exported network's pixels differ from the generator's by {difference:.2g}; not written"
            )
        fresh.replace(out)
    return difference


def _inputs(generator: nn.Module, count: int) -> dict[str, Tensor]:
    classes = len(generator.config["image"]["classes"] or [])
    labels = {"labels": torch.arange(count) % classes} if classes else {}
    return {"z": latents(generator.z_dim, count, seed=0), **labels}


def _exported(generator: nn.Module) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1)
    inputs = _inputs(generator, 2)
    return torch.export.export(generator, (*inputs.values(),), dynamic_shapes={name: {0: batch} for name in inputs})


def _program(generator: nn.Module, out: Path, inputs: dict[str, Tensor]) -> Tensor:
    torch.export.save(_exported(generator), out)
    return torch.export.load(out).module()(*inputs.values())


def _onnx(generator: nn.Module, out: Path, inputs: dict[str, Tensor]) -> Tensor:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"{out}: ONNX needs the package {error.name}; in the clone: pip install '.[onnx]'") from None
    torch.onnx.export(
        _exported(generator),
        (),
        out,
        input_names=list(inputs),
        output_names=["images"],
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {name: value.numpy() for name, value in inputs.items()})[0])
