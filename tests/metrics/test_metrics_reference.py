"""The real side of a comparison: what it holds, both splits, and two that want it at once."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from sagan.errors import UserError
from sagan.metrics import formulas, measures
from sagan.metrics import reference as module
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import Sampled, features_of_images
from sagan.metrics.reference import load_reference, make_reference
from sagan.metrics.table import applicable
from sagan.store.records import file_digest, read_json
from sagan.training import classifier

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(classifier, "_STEPS", 5)


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
    real = measured.real()
    held_out = measured.features(measured.dataset.split("test")[0])["features"]
    assert floor["fid"] == pytest.approx(formulas.fid(formulas.statistics(held_out), real.statistics), rel=1e-6)
    assert 0 < floor["halves"]["fid"] < measured.record["metrics"]["fid"]["value"]


def test_real_images_are_measured_as_if_they_were_generated(measured):
    record = measured.reference_record
    found = record["other_split"]
    assert (found["split"], found["count"]) == ("test", 200)
    held_out = Sampled(measured.features(measured.dataset.split("test")[0]))
    expected = measures.measures(applicable("classifier"), held_out, measured.real())
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
    real = measured.real()
    floor = module._noise_floor("train", real.features, real.features[:100], real.statistics)
    assert floor["fid"] == floor["halves"]["fid"] and floor["count"] == 350 and "half" in floor["what"]
    lacking = module._noise_floor("train", real.features[:200], real.features[:100], real.statistics)
    assert lacking["fid"] is None


def memorisation(features, real):
    return measures.memorisation(features, formulas.nearest(features, real.train)[0][:, 0], real)


def test_copies_of_training_images_are_found_out(measured):
    real = measured.real()
    held_out = measured.reference_record["memorisation"]
    assert held_out["train_count"] == 700 and held_out["held_out_count"] == 200
    copies = memorisation(real.train[:50], real)
    assert copies["median"] == 0 and copies["closer"] == 1
    found = memorisation(measured.features(measured.dataset.split("test")[0])["features"], real)
    assert found["median"] == pytest.approx(held_out["held_out_median"], rel=1e-4) and found["closer"] <= 0.02


def test_the_test_split_keeps_training_features_too(measured, paths):
    reference = dataclasses.replace(measured.reference, key="strokes-test-0123456789", split="test")
    record = make_reference(reference, measured.dataset, paths).content()
    real = load_reference(reference.key, paths)
    assert record["real_count"] == 200 and len(real.features) == 200 and len(real.train) == 700
    assert real.train_rows.tolist() == list(range(700))


def test_rows_of_kept_features_are_those_of_their_images(measured, monkeypatch, paths):
    """With more images than are kept, a neighbour found in features must be the image that is drawn."""
    monkeypatch.setattr(module, "KEPT_FEATURES", 150)
    monkeypatch.setattr(module, "BANK_NUMBERS", 90 * 128)
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
def test_what_is_kept_of_a_sorted_dataset_is_of_every_class(measured, monkeypatch, paths, split):
    """Folders lie sorted by class: the first images of a split are of one kind."""
    monkeypatch.setattr(module, "KEPT_FEATURES", 90)
    monkeypatch.setattr(module, "BANK_NUMBERS", 90 * 128)
    monkeypatch.setattr(classifier, "_STEPS", 80)
    images, labels = measured.dataset.split("train")
    by_class = np.argsort(labels, kind="stable")
    halves = {"train": by_class[::2], "test": by_class[1::2]}

    class Sorted:
        manifest = measured.dataset.manifest

        def split(self, name):
            return images[halves[name]], labels[halves[name]]

    reference = dataclasses.replace(measured.reference, key=f"sorted-{split}-0123456789", split=split)
    record = make_reference(reference, Sorted(), paths).content()
    assert record["accuracy"] > 0.9 and record["floor"]["halves"]["count"] == 175
    extractor = Extractor("classifier", paths.reference(record["key"]), paths, CPU)
    of_kinds = (features_of_images(extractor, images[labels == kind], CPU)["features"] for kind in range(3))
    apart = [features.mean(0, keepdim=True) for features in of_kinds]
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


def test_broken_weights_are_one_line(measured, paths, monkeypatch):
    spoilt = {"features": torch.full((700, 128), torch.nan)}
    monkeypatch.setattr(module, "features_of_images", lambda *_: spoilt)
    with pytest.raises(UserError, match="features of real images are not finite"):
        make_reference(measured.reference, measured.dataset, paths)
    assert not (paths.reference(measured.reference.key) / "reference.json").exists()


def test_two_that_want_it_at_once_make_it_once(measured, paths, monkeypatch):
    trained, train = [], module.train_classifier
    monkeypatch.setattr(module, "train_classifier", lambda *arguments: trained.append(1) or train(*arguments))
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(make_reference, measured.reference, measured.dataset, paths) for _ in range(2)]
    assert both[0].result() == both[1].result() and len(trained) == 1
    made, whole = (place.reference(measured.reference.key) for place in (paths, measured.paths))
    assert file_digest(made / "classifier.safetensors") == both[0].result().weights_digest
    assert {path.name for path in made.iterdir()} == {path.name for path in whole.iterdir()}
    assert np.isfinite(load_reference(measured.reference.key, paths).statistics["sigma"]).all()
