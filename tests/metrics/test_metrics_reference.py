"""The real side of a comparison: what it holds, both splits, and two processes that want it at once."""

import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from sagan.errors import UserError
from sagan.metrics import formulas, measures
from sagan.metrics import reference as module
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import Sampled, features_of_images
from sagan.metrics.real_side import load_reference
from sagan.metrics.reference import make_reference
from sagan.metrics.table import applicable
from sagan.store.paths import Paths
from sagan.store.records import file_digest, read_json
from sagan.training import classifier

CPU = torch.device("cpu")


def test_the_record_says_what_was_measured(measured):
    record = measured.reference_record
    folder = measured.paths.reference(record["key"])
    assert record["real_count"] == 700 and record["feature_dim"] == 128 and record["split"] == "train"
    assert record["dataset_digest"] == measured.dataset.manifest["digest"]
    assert record["weights_digest"] == file_digest(folder / "classifier.safetensors")
    assert record["accuracy"] > 0.9
    assert record == read_json(folder / "reference.json")


def test_the_noise_floor_is_that_of_real_images(measured):
    floor = measured.reference_record["floor"]
    assert floor["count"] == 200 and "200 real test images against the train split" in floor["what"]
    assert floor["halves"]["count"] == 350
    real = load_reference(measured.reference.key, measured.paths)
    extractor = Extractor("classifier", measured.paths.reference(measured.reference.key), measured.paths, CPU)
    held_out = features_of_images(extractor, measured.dataset.split("test")[0], CPU)["features"]
    assert floor["fid"] == pytest.approx(formulas.fid(formulas.statistics(held_out), real.statistics), rel=1e-6)
    assert 0 < floor["halves"]["fid"] < measured.record["metrics"]["fid"]["value"]


def test_real_images_are_measured_as_if_they_were_generated(measured):
    record = measured.reference_record
    found = record["other_split"]
    assert (found["split"], found["count"]) == ("test", 200)
    folder = measured.paths.reference(measured.reference.key)
    held_out = features_of_images(
        Extractor("classifier", folder, measured.paths, CPU), measured.dataset.split("test")[0], CPU
    )
    real = load_reference(measured.reference.key, measured.paths)
    expected = measures.measures(applicable("classifier"), Sampled(held_out), real)
    assert set(found["metrics"]) == set(expected)
    for name, measure in expected.items():
        assert found["metrics"][name] == {
            "value": None if measure.value is None else pytest.approx(measure.value, rel=1e-4),
            "status": measure.status,
        }
    assert found["metrics"]["fid"]["value"] == pytest.approx(record["floor"]["fid"], rel=1e-6)
    generated = measured.record["metrics"]
    for name, sign in (("fid", -1), ("kid", -1), ("is", 1), ("precision", 1), ("recall", 1)):
        assert sign * found["metrics"][name]["value"] > sign * generated[name]["value"], name


def test_the_floor_is_of_halves_where_held_out_images_are_too_few(measured):
    real = load_reference(measured.reference.key, measured.paths)
    floor = module._noise_floor("train", real.features, real.features[:100], real.statistics)
    assert floor["fid"] == floor["halves"]["fid"] and floor["count"] == 350 and "half" in floor["what"]
    lacking = module._noise_floor("train", real.features[:200], real.features[:100], real.statistics)
    assert lacking["fid"] is None


def memorisation(features, real):
    return measures.memorisation(features, formulas.nearest(features, real.train)[0][:, 0], real)


def test_copies_of_training_images_are_found_out(measured):
    real = load_reference(measured.reference.key, measured.paths)
    held_out = measured.reference_record["memorisation"]
    assert held_out["train_count"] == 700 and held_out["held_out_count"] == 200
    copies = memorisation(real.train[:50], real)
    assert copies["median"] == 0 and copies["closer"] == 1
    extractor = Extractor("classifier", measured.paths.reference(measured.reference.key), measured.paths, CPU)
    fresh = features_of_images(extractor, measured.dataset.split("test")[0], CPU)["features"]
    found = memorisation(fresh, real)
    assert found["median"] == pytest.approx(held_out["held_out_median"], rel=1e-4) and found["closer"] <= 0.02


def test_the_test_split_keeps_training_features_too(measured, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "_STEPS", 5)
    paths = Paths(tmp_path)
    reference = dataclasses.replace(measured.reference, key="strokes-test-0123456789", split="test")
    record = make_reference(reference, measured.dataset, paths).content()
    real = load_reference(reference.key, paths)
    assert record["real_count"] == 200 and len(real.features) == 200 and len(real.train) == 700
    assert real.train_rows.tolist() == list(range(700))


def test_rows_of_kept_features_are_those_of_their_images(measured, monkeypatch, tmp_path):
    """With more images than are kept, a neighbour found in features must be the image that is drawn."""
    monkeypatch.setattr(module, "KEPT_FEATURES", 150)
    monkeypatch.setattr(module, "BANK_NUMBERS", 90 * 128)
    monkeypatch.setattr(classifier, "_STEPS", 5)
    paths = Paths(tmp_path)
    record = make_reference(measured.reference, measured.dataset, paths).content()
    real = load_reference(record["key"], paths)
    assert len(real.train) == 90 and len(set(real.train_rows.tolist())) == 90 and record["real_count"] == 700
    assert len(real.features) == 150
    searched = record["memorisation"]
    assert (searched["train_count"], searched["training_images"], searched["held_out_count"]) == (90, 700, 150)
    extractor = Extractor("classifier", paths.reference(record["key"]), paths, CPU)
    images = measured.dataset.split("train")[0][real.train_rows.numpy()]
    assert torch.allclose(features_of_images(extractor, images, CPU)["features"], real.train, atol=1e-5)


@pytest.mark.parametrize("split", ["train", "test"])
def test_what_is_kept_of_a_sorted_dataset_is_of_every_class(measured, monkeypatch, tmp_path, split):
    """Folders lie sorted by class: the first images of a split are of one kind."""
    monkeypatch.setattr(module, "KEPT_FEATURES", 90)
    monkeypatch.setattr(module, "BANK_NUMBERS", 90 * 128)
    monkeypatch.setattr(classifier, "_STEPS", 80)
    images, labels = measured.dataset.split("train")[0], measured.dataset.split("train")[1]
    by_class = np.argsort(labels, kind="stable")
    halves = {"train": by_class[::2], "test": by_class[1::2]}

    class Sorted:
        manifest = measured.dataset.manifest

        def split(self, name):
            return images[halves[name]], labels[halves[name]]

    paths = Paths(tmp_path)
    reference = dataclasses.replace(measured.reference, key=f"sorted-{split}-0123456789", split=split)
    record = make_reference(reference, Sorted(), paths).content()
    assert record["accuracy"] > 0.9 and record["floor"]["halves"]["count"] == 175
    extractor = Extractor("classifier", paths.reference(record["key"]), paths, CPU)
    apart = [
        features_of_images(extractor, images[labels == kind], CPU)["features"][:, None, :].mean(0) for kind in range(3)
    ]
    real = load_reference(record["key"], paths)
    nearest = torch.cdist(real.features, torch.cat(apart)).argmin(1)
    assert torch.bincount(nearest, minlength=3).min() > 15
    assert np.bincount(labels[halves["train"]][real.train_rows.numpy()], minlength=3).min() > 15


def test_the_classifier_is_the_same_whatever_the_threads(measured, monkeypatch):
    monkeypatch.setattr(classifier, "_STEPS", 20)
    images, labels = measured.dataset.split("train")
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(classifier.train_classifier(images, labels, 3).state_dict())
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_broken_weights_are_one_line(measured, tmp_path, monkeypatch):
    def spoilt(*arguments):
        return {"features": torch.full((700, 128), torch.nan)}

    monkeypatch.setattr(classifier, "_STEPS", 5)
    monkeypatch.setattr(module, "features_of_images", spoilt)
    paths = Paths(tmp_path)
    with pytest.raises(UserError, match="features of real images are not finite"):
        make_reference(measured.reference, measured.dataset, paths)
    assert not (paths.reference(measured.reference.key) / "reference.json").exists()


# A process of its own that makes a reference, and notes every classifier that it trains.
MAKING = """
import pickle, sys
from sagan.data import load
from sagan.metrics import reference
from sagan.store.paths import Paths
from sagan.training import classifier

root, wanted, folder = pickle.load(sys.stdin.buffer)
train = reference.train_classifier

def noting(*arguments):
    with (root / "trained").open("a") as file:
        file.write("once\\n")
    return train(*arguments)

reference.train_classifier = noting
classifier._STEPS = 5
sys.stdout.buffer.write(pickle.dumps(reference.make_reference(wanted, load(folder), Paths(root))))
"""


def test_two_processes_that_want_it_at_once_make_it_once(measured, tmp_path):
    folder = measured.paths.prepared("strokes", 28).absolute()
    arguments = pickle.dumps((tmp_path, measured.reference, folder))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    both = [subprocess.Popen([sys.executable, "-c", MAKING], **pipes) for _ in range(2)]
    for process in both:
        process.stdin.write(arguments)
        process.stdin.close()
    records = [pickle.loads(process.stdout.read()) for process in both]
    for process in both:
        assert process.wait(timeout=120) == 0
    assert records[0] == records[1]
    made = tmp_path / "results" / "references" / measured.reference.key
    assert (tmp_path / "trained").read_text() == "once\n"
    assert file_digest(made / "classifier.safetensors") == records[0].weights_digest
    assert sorted(path.name for path in made.iterdir()) == [
        "classifier.safetensors",
        "features.safetensors",
        "reference.json",
        "statistics.safetensors",
    ]
    assert np.isfinite(load_reference(measured.reference.key, Paths(tmp_path)).statistics["sigma"]).all()
