"""One finished run measured against one reference."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sagan.data import load
from sagan.data.prepared import read_manifest
from sagan.errors import UserError
from sagan.metrics import values
from sagan.metrics.attention import layer_maps
from sagan.metrics.explorable import save_explorable
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import features_of_generator, generated_images
from sagan.metrics.measures import Measure, all_measures, fid, memorisation
from sagan.metrics.pictures import GRID, save_attention, save_grid
from sagan.metrics.reference import load_reference
from sagan.nn.files import load_discriminator, load_generator
from sagan.paths import Paths
from sagan.plan import Evaluation
from sagan.records import Json, finite_or_none, read_json, write_json
from sagan.states import run_record
from sagan.training.batches import derived_seed
from sagan.training.devices import device_for
from sagan.training.locks import exclusive
from sagan.training.provenance import now, provenance

_ATTENTION_IMAGES = 4
_FILM_ROWS = 6
# Datasets whose licence lets their images be shown in a report.
_SHOWABLE = ("mnist5k", "mnist", "fashion-mnist", "cifar10")


def evaluate(evaluation: Evaluation, paths: Paths) -> Json:
    """Metrics, curve, sample grid and attention maps of a run.

    Returns:
        The content of `metrics.json`; at once where it is there already.

    Raises:
        UserError: the run or the reference is not there.
    """
    target = paths.evaluation(evaluation.key) / "metrics.json"
    with exclusive(paths.state(evaluation.key) / "lock", evaluation.key):
        if target.exists():
            return read_json(target)
        run = run_record(evaluation.run, paths)
        if run is None:
            folder = paths.run(evaluation.run)
            raise UserError(f"{folder}: no finished run; train it with `python -m sagan train {evaluation.run}`")
        if run.get("left_behind"):
            raise UserError(
                f"{paths.run(evaluation.run)}: a light copy without weights, which cannot be measured anew; copy the "
                "whole folder from the machine that trained it, or delete it to train it here"
            )
        if not (paths.reference(evaluation.reference) / "reference.json").exists():
            raise UserError(
                f"{paths.reference(evaluation.reference)}: no such reference; "
                f"make it with `python -m sagan reference {evaluation.reference}`"
            )
        with device_for(evaluation.execution) as device:
            record = _Measurement(evaluation, run, paths, device).record()
        write_json(target, record)
        return record


class _Measurement:
    """What the parts of one evaluation share."""

    def __init__(self, evaluation: Evaluation, run: Json, paths: Paths, device: torch.device) -> None:
        self.started, self.clock = now(), time.perf_counter()
        self.evaluation, self.run, self.paths, self.device = evaluation, run, paths, device
        self.settings = evaluation.settings
        self.run_folder, self.folder = paths.run(run["key"]), paths.evaluation(evaluation.key)
        reference_folder = paths.reference(evaluation.reference)
        self.real = load_reference(reference_folder)
        self.reference = self.real.record
        self.extractor: Callable[[Tensor], dict[str, Tensor]] = Extractor(
            self.reference["extractor"], reference_folder, paths, device
        )

    def record(self) -> Json:
        diverged = self.run["status"] == "diverged"
        snapshots = sorted((self.run_folder / "snapshots").glob("*.safetensors"))
        final_path = snapshots[-1] if diverged else self.run_folder / "generator.safetensors"
        generator = self._network(load_generator, final_path)
        discriminator = None if diverged else self._network(load_discriminator, self.run_folder)
        count = self.settings["samples"]
        metrics, copies, generation_seconds = {}, {}, math.inf
        if not diverged:
            began = time.perf_counter()
            features = self._features(generator, count, "final")
            generation_seconds = time.perf_counter() - began
            # The final figures are of samples that nothing else has used.
            metrics = {
                name: self._value(name, found, count) for name, found in all_measures(features, self.real).items()
            }
            copies = memorisation(features["features"], self.real)
            self._neighbours(generator, features["features"])
        curve = [self._curve_point(path) for path in snapshots]
        self._pictures(generator, snapshots)
        return {
            "key": self.evaluation.key,
            "run": self.run["key"],
            "reference": self.evaluation.reference,
            "variant": self.run["variant"],
            "seed": self.run["seed"],
            "dataset": self.run["dataset"],
            "status": "diverged" if diverged else "measured",
            "metrics": metrics,
            "untrained": {"fid": self._value("fid", self._fid(snapshots[0], count, "final"), count)},
            "best": {} if diverged else self._best(curve, snapshots, metrics["fid"]),
            "curve": curve,
            "curve_protocol": self._protocol(self.settings["curve_samples"]),
            "memorisation": copies,
            "attention": {} if diverged else self._attention(generator, discriminator),
            "generated_per_second": round(count / generation_seconds, 1),
            "seconds": round(time.perf_counter() - self.clock, 3),
            "provenance": provenance(self.device, self.started),
        }

    def _network(self, load: Callable[[Path], nn.Module], path: Path) -> nn.Module:
        return load(path).to(self.device, memory_format=torch.channels_last)

    def _z(self, count: int, purpose: str, z_dim: int) -> Tensor:
        """z [count, z_dim] of this evaluation's seed, the same for every run with that z_dim."""
        generator = torch.Generator().manual_seed(derived_seed(self.settings["seed"], purpose, 0))
        return torch.randn(count, z_dim, generator=generator)

    def _features(self, generator: nn.Module, count: int, purpose: str) -> dict[str, Tensor]:
        z = self._z(count, purpose, generator.z_dim)
        return features_of_generator(self.extractor, generator, z, self.device)

    def _fid(self, snapshot: Path, count: int, purpose: str) -> Measure:
        generator = self._network(load_generator, snapshot)
        return fid(self._features(generator, count, purpose)["features"], self.real)

    def _curve_point(self, snapshot: Path) -> Json:
        found = self._fid(snapshot, self.settings["curve_samples"], "curve")
        return {"step": int(snapshot.stem), "fid": found.value, "status": found.status}

    def _best(self, curve: list[Json], snapshots: list[Path], final: Json) -> Json:
        """The snapshot with the curve's lowest FID, scored on samples that did not choose it."""
        points = [
            (point["fid"], path) for point, path in zip(curve, snapshots, strict=True) if point["fid"] is not None
        ]
        if not points:
            return {}
        chosen, count = min(points)[1], self.settings["samples"]
        step = int(chosen.stem)
        is_last = step == self.run["steps"]
        value = final if is_last else self._value("fid", self._fid(chosen, count, "best"), count)
        how = f"lowest FID of {self.settings['curve_samples']} other samples among {len(points)} snapshots"
        return {"step": step, "fid": {**value, "name": f"best_{value['name']}", "chosen": how}}

    def _value(self, metric: str, measure: Measure, count: int) -> Json:
        """A value that cannot be separated from how it was measured."""
        extractor, split = self.reference["extractor"], self.reference["split"]
        return {
            "value": measure.value,
            "status": measure.status,
            "name": f"{metric}{count}_{split}.{extractor}",
            "protocol": self._protocol(count) | measure.facts,
        }

    def _protocol(self, count: int) -> Json:
        shared = ("extractor", "weights_digest", "split", "real_count", "crop", "resize", "resolution", "feature_dim")
        return {
            **{name: self.reference[name] for name in shared},
            "generated_count": count,
            "seed": self.settings["seed"],
            "quantised": "uint8, rounded",
            "library": f"torch-fidelity {version('torch-fidelity')}",
        }

    def _neighbours(self, generator: nn.Module, features: Tensor) -> None:
        """The generated images that are closest to a training image, each followed by its nearest training images.

        Only for datasets whose images may be shown, and where the dataset lies here.
        """
        record = self.reference
        folder = self.paths.prepared(record["dataset"], record["resolution"])
        manifest = read_manifest(folder)
        if record["kind"] not in _SHOWABLE or manifest is None or manifest["digest"] != record["dataset_digest"]:
            return
        distances, rows = values.nearest(features.nan_to_num(), self.real.train, GRID - 1)
        closest = distances[:, 0].argsort()[:GRID]
        # All of them again, since a conditional generator's classes follow from an image's place among the others.
        generated = generated_images(generator, self._z(len(features), "final", generator.z_dim), self.device)[closest]
        training = load(folder).split("train")[0]
        near = [training[self.real.train_rows[row].numpy()] for row in rows[closest]]
        sheet = np.concatenate(
            [np.concatenate([image[None], others]) for image, others in zip(generated.numpy(), near, strict=True)]
        )
        save_grid(sheet, GRID, self.folder / "neighbours.png")

    def _pictures(self, generator: nn.Module, snapshots: list[Path]) -> None:
        """The grid at fixed z; the first of them over training; walks between pairs of them."""
        z = self._z(GRID * GRID, "grid", generator.z_dim)
        save_grid(generated_images(generator, z, self.device).numpy(), GRID, self.folder / "samples.png")
        frames = [generated_images(self._network(load_generator, s), z[:_FILM_ROWS], self.device) for s in snapshots]
        film = torch.stack(frames, dim=1).flatten(0, 1)
        save_grid(film.numpy(), len(snapshots), self.folder / "film.png")
        walks = torch.cat([_great_circle(a, b, GRID) for a, b in zip(z[:4], z[4:8], strict=True)])
        save_grid(generated_images(generator, walks, self.device).numpy(), GRID, self.folder / "interpolation.png")

    def _attention(self, generator: nn.Module, discriminator: nn.Module) -> Json:
        """Statistics over the grid's images; pictures of the first few."""
        z = self._z(GRID * GRID, "grid", generator.z_dim).to(self.device)
        images = generated_images(generator, z, self.device)
        inputs = {"generator": (generator, z), "discriminator": (discriminator, images.to(self.device) / 127.5 - 1.0)}
        record = {}
        for role, (network, batch) in inputs.items():
            for layer in layer_maps(network, batch):
                record[f"{role}.{layer.side}"] = {
                    "gamma": finite_or_none(layer.gamma),
                    "entropy": finite_or_none(layer.entropy()),
                    "entropy_uniform": layer.entropy_uniform(),
                }
                shown = slice(_ATTENTION_IMAGES)
                path = self.folder / "attention" / f"{role}-{layer.side}.png"
                save_attention(images[shown].numpy(), layer.maps[shown].nan_to_num(1.0).numpy(), path)
            save_explorable(network, role, batch, images, self.folder / "attention")
        return record


def _great_circle(start: Tensor, end: Tensor, count: int) -> Tensor:
    """`count` points from z to z [z_dim] on the arc between them, where N(0, 1) has its mass (White 2016)."""
    angle = math.acos(float(torch.cosine_similarity(start, end, dim=0).clamp(-1, 1)))
    shares = torch.linspace(0, 1, count)[:, None]
    return (torch.sin((1 - shares) * angle) * start + torch.sin(shares * angle) * end) / math.sin(angle)
