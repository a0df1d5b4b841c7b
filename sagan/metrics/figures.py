"""The figures of one run: what is sampled of its generators, and what is measured of that. No pictures, no record."""

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from sagan.metrics import formulas
from sagan.metrics.attention import discriminator_attention, generator_attention
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import GRID, Sampled, labels_of, latents, sample_features
from sagan.metrics.measures import Measure, fid, measures, memorisation, not_finite, too_few_neighbours
from sagan.metrics.parts import FeatureParts
from sagan.metrics.reference import as_if_generated, load_reference, some_rows
from sagan.nn.files import load_discriminator, load_generator
from sagan.plan import Evaluation
from sagan.store.paths import Paths
from sagan.store.records import Json, file_digest

# What depends on the count of generated images, and stands beside real ones at one count.
MATCHED = ("fid", "is", "recall", "coverage")
_NO_START = "not measured: `evaluation.curve` leaves it out, or the run of the same recipe with seed 0 stands for it"
# The pixels' deviation over that of real images. docs/metrics.md has what was measured around these thresholds.
DIVERSITY_BELOW = 0.1
# Share of real images that generated ones reach. Trainings that end well begin near 0 too: it counts after 0.1 alone.
RECALL_BELOW, RECALL_ONCE = 0.01, 0.1


class Figures:
    """What can be asked of one run's generators beside one reference; what two figures use is sampled once."""

    def __init__(self, evaluation: Evaluation, run: Json, paths: Paths, device: torch.device) -> None:
        self.run, self.paths, self.device = run, paths, device
        self.settings = evaluation.settings
        self.parts = FeatureParts(paths.features(evaluation.key), evaluation.key)
        self.folder = paths.run(run["key"])
        self.real = load_reference(evaluation.reference, paths)
        self.extractor: Callable[[Tensor], dict[str, Tensor]] = Extractor(
            self.settings["extractor"], paths.reference(evaluation.reference), paths, device
        )

    @property
    def diverged(self) -> bool:
        return self.run["status"] == "diverged"

    @cached_property
    def snapshots(self) -> list[Path]:
        """In the order of their steps."""
        return sorted((self.folder / "snapshots").glob("*.safetensors"), key=lambda path: int(path.stem))

    @property
    def final_path(self) -> Path:
        """The generator that is measured; of a run that diverged, its last snapshot."""
        return self.snapshots[-1] if self.diverged else self.folder / "generator.safetensors"

    def generator(self, path: Path) -> nn.Module:
        """On the device."""
        return load_generator(path).to(self.device, memory_format=torch.channels_last)

    @cached_property
    def discriminator(self) -> nn.Module:
        return load_discriminator(self.folder).to(self.device, memory_format=torch.channels_last)

    def z(self, z_dim: int, purpose: str = "final", draw: int = 0) -> Tensor:
        """z [N, z_dim] of this evaluation's seed, N the most that anything takes; the same for every run."""
        most = max(self.settings["samples"], self.settings["curve_samples"])
        return latents(z_dim, most, self.settings["seed"], purpose, draw)

    def metrics(self, names: Sequence[str]) -> Json:
        """Metrics of the final generator by name; FID for `draws` sets of z, of which the first is the figure."""
        entries = {name: self._value(name, found) for name, found in measures(names, self._final, self.real).items()}
        if "fid" in entries:
            draws = range(1, self.settings["draws"])
            entries["fid"]["draws"] = [entries["fid"]["value"], *(self._fid_of_draw(draw).value for draw in draws)]
        return entries

    def matched(self, final: Json) -> Json:
        """Metrics of generated (`final`: of all samples) and of real held-out images, at the count of the fewer."""
        other = self.real.record["other_split"]
        count = min(len(self._final), other["count"])
        wanted = [name for name in MATCHED if name in final]
        if not count:
            return {}
        if count == len(self._final):
            generated = {name: {part: final[name][part] for part in ("value", "status")} for name in wanted}
        else:
            generated = as_if_generated(wanted, self._final.rows(slice(count)), self.real)
        if count == other["count"]:
            real = {name: other["metrics"][name] for name in wanted}
        else:
            images = Sampled(self.real.held_out).rows(some_rows(other["count"], count))
            real = as_if_generated(wanted, images, self.real)
        return {"count": count, "split": other["split"], "generated": generated, "real": real}

    def memorisation(self) -> Json:
        """See `sagan.metrics.measures.memorisation`."""
        return memorisation(self._final.features["features"], self.nearest[0][:, 0], self.real)

    @cached_property
    def nearest(self) -> tuple[Tensor, Tensor]:
        """Distances from the final samples to the nearest kept training images, ascending, and their rows there."""
        return formulas.nearest(self._final.features["features"].nan_to_num(), self.real.train, GRID - 1)

    def final_sample(self) -> tuple[Tensor, Sampled]:
        """The z of the final figures and what was made of them, row for row."""
        return self.z(self.generator(self.final_path).z_dim)[: len(self._final)], self._final

    def curve(self) -> list[Json]:
        """A point at each snapshot, or at the last few where `evaluation.curve` says so of this space."""
        measured = self.snapshots[-(self.settings["curve"] or len(self.snapshots)) :]
        # What comes before training is one for all seeds of a recipe: seed 0 has it.
        return [self._point(path) for path in measured if self.run["seed"] == 0 or int(path.stem) > 0]

    def untrained(self, curve: list[Json]) -> Json:
        """FID before the first step, of the curve's images."""
        for point in curve:
            if point["step"] == 0:
                return self._value("fid", Measure(point["fid"], point["status"]), self.settings["curve_samples"])
        return self._value("fid", Measure(None, _NO_START), self.settings["curve_samples"])

    def best(self, curve: list[Json], final: Json) -> Json:
        """The snapshot with the curve's lowest FID, scored on samples that did not choose it.

        Where the last one is chosen, the `final` FID stands, whose first images are the curve's.
        """
        points = [(point["fid"], point["step"]) for point in curve if point["fid"] is not None]
        if not points:
            return {}
        step = min(points)[1]
        if step != self.run["steps"]:
            path = next(path for path in self.snapshots if int(path.stem) == step)
            final = self._value("fid", self._fid(self._sampled(path, f"best, step {step}", "best")))
        how = f"lowest FID of {self.settings['curve_samples']} images among {len(points)} snapshots"
        value = {part: final[part] for part in ("value", "status", "protocol")}
        return {"step": step, "fid": {**value, "name": f"best_{final['name']}", "chosen": how}}

    def attention(self) -> Json:
        """Of both networks at the end; see `sagan.metrics.attention`."""
        if self.diverged:
            return {}
        seed, generator = self.settings["seed"], self.generator(self.final_path)
        found = generator_attention(generator, seed, self.device)
        return found | discriminator_attention(generator, self.discriminator, seed, self.device)

    def protocol(self, count: int) -> Json:
        """How figures of `count` generated images are measured."""
        shared = ("extractor", "weights_digest", "split", "real_count", "crop", "resize", "resolution", "feature_dim")
        return {
            **{name: self.real.record[name] for name in shared},
            "generated_count": count,
            "seed": self.settings["seed"],
            "quantised": "uint8, rounded",
            "library": f"torch-fidelity {version('torch-fidelity')}",
        }

    @cached_property
    def _final(self) -> Sampled:
        """The final samples, with the curve's first and apart: they are the last snapshot's too."""
        samples, first = self.settings["samples"], self.settings["curve_samples"]
        head = self._sampled(self.final_path, "final", "final", slice(first))
        if samples <= first:
            return head.rows(slice(samples))
        return head.and_then(self._sampled(self.final_path, "final", "final", slice(first, samples)))

    def _fid_of_draw(self, draw: int) -> Measure:
        return self._fid(self._sampled(self.final_path, f"draw {draw}", "final", draw=draw))

    def _point(self, snapshot: Path) -> Json:
        rows = slice(self.settings["curve_samples"])
        sampled = self._sampled(snapshot, f"step {int(snapshot.stem)}", "final", rows)
        features, found = sampled.features["features"], self._fid(sampled)
        real = self.real.record["pixel_deviation"]
        return {
            "step": int(snapshot.stem),
            "space": self.settings["extractor"],
            "fid": found.value,
            "status": found.status,
            "recall": None if self._tells_nothing(features) else formulas.recall(features, self.real.features),
            "diversity": None if sampled.deviation is None else sampled.deviation / real,
            "attention": generator_attention(self.generator(snapshot), self.settings["seed"], self.device),
        }

    def _sampled(self, path: Path, name: str, purpose: str, rows: slice | None = None, draw: int = 0) -> Sampled:
        """The images of some rows of z (without: as many as the final figures have)."""
        rows = slice(self.settings["samples"]) if rows is None else rows
        generator = self.generator(path)
        z = self.z(generator.z_dim, purpose, draw)
        labels = labels_of(generator, len(z))
        identity = [file_digest(path), self.real.record["weights_digest"], self.device.type]
        carried = self.parts.of(name, [*identity, self.settings["seed"], purpose, draw, len(z), rows.start, rows.stop])
        part = None if labels is None else labels[rows]
        return sample_features(self.extractor, generator, z[rows], self.device, part, carried)

    def _fid(self, sampled: Sampled) -> Measure:
        defect = not_finite(sampled.features["features"])
        return Measure(None, defect) if defect else fid(sampled, self.real)

    def _tells_nothing(self, features: Tensor) -> bool:
        return bool(not_finite(features) or too_few_neighbours(features, self.real.features))

    def _value(self, metric: str, measure: Measure, count: int | None = None) -> Json:
        """A value that cannot be separated from how it was measured (without a count: of the final samples)."""
        count = self.settings["samples"] if count is None else count
        extractor, split = self.real.record["extractor"], self.real.record["split"]
        return {
            "value": measure.value,
            "status": measure.status,
            "name": f"{metric}{count}_{split}.{extractor}",
            "protocol": self.protocol(count) | measure.facts,
        }


def collapse(curve: list[Json]) -> Json:
    """From which step on, to the end of the curve, the images had almost no variance or reached almost nothing real.

    Args:
        curve: points with "step", "diversity" and "recall", in order; a value is None where it is not known.

    Returns:
        "began" (a step, None where the last point is sound), "why" at that step, and the thresholds.
    """
    began, why, highest = None, None, 0.0
    for point in curve:
        found = _defect(point, highest)
        if found is None:
            began, why = None, None
        elif began is None:
            began, why = point["step"], found
        highest = max(highest, point["recall"] or 0.0)
    thresholds = {"diversity_below": DIVERSITY_BELOW, "recall_below": RECALL_BELOW, "recall_once": RECALL_ONCE}
    return {"began": began, "why": why, **thresholds}


def _defect(point: Json, highest_recall: float) -> str | None:
    if point["diversity"] is not None and point["diversity"] < DIVERSITY_BELOW:
        return "almost no variance"
    if point["recall"] is not None and point["recall"] < RECALL_BELOW and highest_recall >= RECALL_ONCE:
        return "recall near 0"
    return None
