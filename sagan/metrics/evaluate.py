"""One finished run measured against one reference."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from sagan.errors import UserError
from sagan.metrics import gallery, values
from sagan.metrics.collapse import collapse
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import Sampled, sample_features
from sagan.metrics.latents import latents
from sagan.metrics.measures import Measure, all_measures, fid, intra_class_fid, memorisation, not_finite
from sagan.metrics.real import load_reference
from sagan.metrics.reference import class_side
from sagan.nn.files import load_discriminator, load_generator
from sagan.paths import Paths
from sagan.plan import Evaluation
from sagan.records import Json, read_json, write_json
from sagan.states import run_record
from sagan.training.devices import device_for
from sagan.training.locks import exclusive
from sagan.training.provenance import now, provenance


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
        with device_for(evaluation.execution, evaluation.threads) as device:
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
        self.reference_folder = paths.reference(evaluation.reference)
        self.real = load_reference(self.reference_folder)
        self.reference = self.real.record
        self.extractor: Callable[[Tensor], dict[str, Tensor]] = Extractor(
            self.reference["extractor"], self.reference_folder, paths, device
        )

    def record(self) -> Json:
        diverged = self.run["status"] == "diverged"
        snapshots = sorted((self.run_folder / "snapshots").glob("*.safetensors"), key=lambda path: int(path.stem))
        final_path = snapshots[-1] if diverged else self.run_folder / "generator.safetensors"
        generator = self._network(load_generator, final_path)
        discriminator = None if diverged else self._network(load_discriminator, self.run_folder)
        final = {} if diverged else self._final(generator)
        curve = [self._curve_point(path) for path in snapshots]
        seed, count = self.settings["seed"], self.settings["samples"]
        loaded = (self._network(load_generator, path) for path in snapshots)
        gallery.save_samples(generator, loaded, seed, self.device, self.folder)
        attention = {}
        if not diverged:
            maps = self.folder / "attention"
            attention = gallery.save_attention_maps(generator, discriminator, seed, self.device, maps)
        return {
            "key": self.evaluation.key,
            "run": self.run["key"],
            "reference": self.evaluation.reference,
            "variant": self.run["variant"],
            "seed": self.run["seed"],
            "dataset": self.run["dataset"],
            "status": "diverged" if diverged else "measured",
            "metrics": final.get("metrics", {}),
            "classes": final.get("classes", {}),
            "untrained": {"fid": self._value("fid", self._fid(snapshots[0], count, "final"), count)},
            "best": {} if diverged else self._best(curve, snapshots, final["metrics"]["fid"]),
            "curve": curve,
            "curve_protocol": self._protocol(self.settings["curve_samples"]),
            "collapse": collapse(curve),
            "memorisation": final.get("memorisation", {}),
            "attention": attention,
            "generated_per_second": final.get("generated_per_second", 0.0),
            "seconds": round(time.perf_counter() - self.clock, 3),
            "provenance": provenance(self.device, self.started),
        }

    def _final(self, generator: nn.Module) -> Json:
        """The final figures, of samples that nothing else has used."""
        count = self.settings["samples"]
        z = self._z(count, "final", generator.z_dim)
        began = time.perf_counter()
        sampled = sample_features(self.extractor, generator, z, self.device)
        seconds = time.perf_counter() - began
        measures = all_measures(sampled.features, self.real)
        classes: Json = {}
        if sampled.labels is not None:
            measures["intra_fid"], classes = self._intra_class(generator, sampled)
        gallery.save_neighbours(generator, z, sampled, self.real, self.paths, self.device, self.folder)
        return {
            "metrics": {name: self._value(name, found, count) for name, found in measures.items()},
            "classes": classes,
            "memorisation": memorisation(sampled.features["features"], self.real),
            "generated_per_second": round(count / seconds, 1),
        }

    def _intra_class(self, generator: nn.Module, sampled: Sampled) -> tuple[Measure, dict[str, Json]]:
        condition = self.run["config"]["variant"]["condition"]
        real = class_side(self.reference_folder, condition, self.real, self.extractor, self.paths, self.device)
        names = generator.config["image"]["classes"]
        return intra_class_fid(sampled.features["features"], sampled.labels, real, names)

    def _network(self, load: Callable[[Path], nn.Module], path: Path) -> nn.Module:
        return load(path).to(self.device, memory_format=torch.channels_last)

    def _z(self, count: int, purpose: str, z_dim: int) -> Tensor:
        """z [count, z_dim] of this evaluation's seed, the same for every run with that z_dim."""
        return latents(z_dim, count, self.settings["seed"], purpose)

    def _sampled(self, generator: nn.Module, count: int, purpose: str) -> Sampled:
        return sample_features(self.extractor, generator, self._z(count, purpose, generator.z_dim), self.device)

    def _fid(self, snapshot: Path, count: int, purpose: str) -> Measure:
        generator = self._network(load_generator, snapshot)
        return fid(self._sampled(generator, count, purpose).features["features"], self.real)

    def _curve_point(self, snapshot: Path) -> Json:
        generator = self._network(load_generator, snapshot)
        sampled = self._sampled(generator, self.settings["curve_samples"], "curve")
        features = sampled.features["features"]
        found = fid(features, self.real)
        real = self.reference["pixel_deviation"]
        return {
            "step": int(snapshot.stem),
            "fid": found.value,
            "status": found.status,
            "recall": None if not_finite(features) else values.recall(features, self.real.features),
            "diversity": None if sampled.deviation is None else sampled.deviation / real,
            "attention": gallery.generator_attention(generator, self.settings["seed"], self.device),
        }

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
