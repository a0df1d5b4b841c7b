"""How fast runs are measured: images/s of a generator's features, seconds of the metrics, of a reference, of imports.

    python -m benchmarks.evaluation                       # digits, on made-up ones
    python -m benchmarks.evaluation --extractor inception --images 200      # or another space whose weights are here

Prints one JSON object. Nothing else should run at the same time: the load average is printed with the
figures, and beside each time what the process itself used of the processor.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from sagan.data.prepared import Content, load, store
from sagan.metrics import formulas
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import features_of_images, generated_images, latents, sample_features
from sagan.metrics.reference import make_reference
from sagan.nn import build_generator
from sagan.params.run import completed
from sagan.params.suites import DIGITS
from sagan.plan import Reference
from sagan.store.paths import Paths
from sagan.training.classifier import Classifier
from sagan.training.devices import describe, device_for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extractor", default="digits", help="a feature space, as under evaluation.extractor")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    load = os.getloadavg()
    is_grey = options.extractor in (*DIGITS, "classifier")
    side, channels = (28, 1) if is_grey else (64, 3)
    images = np.random.default_rng(0).integers(0, 256, (options.images, channels, side, side), dtype=np.uint8)
    execution = {"device": options.device, "threads": options.threads, "together": 1}
    with tempfile.TemporaryDirectory() as folder, device_for(execution, options.threads) as device:
        if options.extractor == "classifier":
            torch.manual_seed(0)
            save_file(Classifier(channels, 10).state_dict(), Path(folder, "classifier.safetensors"))
        extractor = Extractor(options.extractor, Path(folder), Paths(), device)
        dim = features_of_images(extractor, images[:100], device)["features"].shape[1]
        generator = made_up_generator(side, channels).to(device, memory_format=torch.channels_last)
        z = latents(generator.z_dim, options.images, seed=0)
        generated_images(generator, z[:100], device)
        extraction = timed(lambda: features_of_images(extractor, images, device))
        generation = timed(lambda: generated_images(generator, z, device))
        both = timed(lambda: sample_features(extractor, generator, z, device))
        record = {
            "extractor": options.extractor,
            "images": options.images,
            "device": describe(device),
            "threads": options.threads,
            "load_average_before": load,
            "stored images to features": rates(options.images, extraction),
            "z to images": rates(options.images, generation),
            "z to features": rates(options.images, both),
            "reference": {"images": options.images, **reference_seconds(options, images, execution)},
            "metrics": metrics_seconds(options.images, dim),
            "imports": import_seconds(),
        }
    print(json.dumps(record, indent=1))


def timed(work: Callable[[], object]) -> dict[str, float]:
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return {"seconds": round(time.perf_counter() - began, 3), "cpu_seconds": round(time.process_time() - cpu, 3)}


def rates(images: int, taken: dict[str, float]) -> dict[str, float]:
    return {f"images_per_{name.removesuffix('s')}": round(images / value, 2) for name, value in taken.items()}


def made_up_generator(side: int, channels: int) -> torch.nn.Module:
    """DCGAN's, with 64 channels in its largest feature map."""
    generator = {"z_dim": 128, "width": 64, "norm": "batch"}
    variant = {"backbone": "dcgan", "generator": generator, "init": "normal"}
    torch.manual_seed(0)
    config = completed({"variant": variant, "image": {"channels": channels, "resolution": side}})
    return build_generator(config).eval().requires_grad_(False)


def reference_seconds(options: argparse.Namespace, images: np.ndarray, execution: dict) -> dict[str, float]:
    """The whole real side, of which 100 images are held out: classifier, features, statistics, noise floor."""
    count, _, side, _ = images.shape
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(Path(folder))
        if options.extractor != "classifier":
            paths.weights.parent.mkdir(parents=True)
            paths.weights.symlink_to(Paths().weights.resolve())
        head = {"dataset": "noise", "kind": "mnist", "resolution": side, "settings": {}}
        splits = np.repeat([0, 2], [count - 100, 100])
        names = [str(digit) for digit in range(10)]
        content = Content(images, np.arange(count) % 10, names, splits, {"crop": None, "resize": None})
        manifest = store(paths.prepared("noise", side), head, content)
        dataset = load(paths.prepared("noise", side))
        spec = Reference(
            "noise", "noise", side, manifest["digest"], options.extractor, "train", options.threads, "", execution
        )
        return timed(lambda: make_reference(spec, dataset, paths))


def metrics_seconds(count: int, dim: int) -> dict[str, dict[str, float]]:
    """Each metric on made-up features, with as many real ones."""
    generator = torch.Generator().manual_seed(0)
    fake, real = (torch.rand(count, dim, generator=generator) for _ in range(2))
    logits = torch.randn(count, 10, generator=generator)
    statistics = formulas.statistics(real)
    sizes, of_real = formulas.extrapolation_sizes(count, dim), formulas.radii(real)
    work: dict[str, Callable[[], object]] = {
        "fid": lambda: formulas.fid(formulas.statistics(fake), statistics),
        "kid": lambda: formulas.kid(fake, real),
        "is": lambda: formulas.inception_score(logits),
        "recall alone": lambda: formulas.recall(fake, real),
        "precision, recall, density, coverage": lambda: formulas.neighbourhoods(fake, real, of_real),
        "memorisation": lambda: formulas.nearest(fake, real),
    }
    if sizes:
        work["fid_infinity"] = lambda: formulas.fid_infinity(fake, statistics, sizes)
    return {name: timed(job) for name, job in work.items()}


def import_seconds() -> dict[str, float]:
    """Seconds from the start of a fresh Python to the end of an import."""
    found = {}
    for module in ("torch", "torchvision", "torch_fidelity", "sagan.metrics.evaluate"):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        found[module] = round(time.perf_counter() - began, 2)
    return found


if __name__ == "__main__":
    main()
