"""From a finished run to metrics.json, pictures beside it; and spoilt runs to a status."""

import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from sagan.errors import UserError
from sagan.metrics import formulas
from sagan.metrics.features import latents
from sagan.metrics.figures import Figures
from sagan.metrics.measures import CONSTANT
from sagan.metrics.reference import some_rows
from sagan.store.records import read_json, write_json
from tests import flip_a_bit
from tests.metrics.conftest import change_tensors, make_constant, make_nan

METRICS = {"fid", "fid_infinity", "kid", "is", "precision", "recall", "density", "coverage"}


def test_every_metric_has_a_value_a_name_and_its_protocol(measured):
    metrics = measured.record["metrics"]
    assert set(metrics) == METRICS
    for name, entry in metrics.items():
        assert entry["status"] == "measured" and np.isfinite(entry["value"]), name
        assert entry["name"] == f"{name}600_train.classifier"
        assert entry["protocol"]["generated_count"] == 600 and entry["protocol"]["split"] == "train"
        assert entry["protocol"]["weights_digest"] == measured.reference_record["weights_digest"]
    assert metrics["kid"]["protocol"]["subsets"] == 50 and metrics["kid"]["protocol"]["std"] >= 0
    assert measured.record == read_json(measured.evaluation_folder / "metrics.json")


def test_the_curve_starts_before_training_and_uses_fewer_images(measured):
    record = measured.record
    assert [point["step"] for point in record["curve"]] == [0, 3, 6]
    assert record["curve_protocol"]["generated_count"] == 300
    assert all(0 < point["diversity"] < 2 and 0 <= point["recall"] <= 1 for point in record["curve"])
    layers = [point["attention"]["generator.14"] for point in record["curve"]]
    assert layers[0]["gamma"] == 0 and layers[0]["entropy_uniform"] == pytest.approx(math.log(49))
    assert 0 < layers[0]["entropy"] < layers[0]["entropy_uniform"]
    assert layers[-1] == record["attention"]["generator.14"] != layers[0]
    assert record["untrained"]["fid"]["name"] == "fid300_train.classifier"
    assert record["untrained"]["fid"]["value"] == record["curve"][0]["fid"]


def test_snapshots_count_by_their_step_and_not_by_their_name(unmeasured):
    folder = unmeasured.run_folder / "snapshots"
    shutil.copy(folder / "000006.safetensors", folder / "1000000.safetensors")
    record = unmeasured.evaluate()
    assert [point["step"] for point in record["curve"]] == [0, 3, 6, 1000000]


def test_best_is_the_lowest_of_the_curve_scored_on_other_samples(measured):
    best, curve = measured.record["best"], measured.record["curve"]
    assert best["step"] == min(curve, key=lambda point: point["fid"])["step"]
    assert best["fid"]["name"] == "best_fid600_train.classifier"
    assert best["fid"]["value"] not in [point["fid"] for point in curve]
    assert best["fid"]["chosen"] == "lowest FID of 300 images among 3 snapshots"
    assert set(measured.record["metrics"]["fid"]) == {"value", "status", "name", "protocol", "draws"}


def test_a_best_before_the_end_is_measured_on_samples_of_its_own(unmeasured):
    """The trained generator lies at the middle snapshot, and the untrained one at the last."""
    snapshots = unmeasured.run_folder / "snapshots"
    shutil.copyfile(snapshots / "000006.safetensors", snapshots / "000003.safetensors")
    shutil.copyfile(snapshots / "000000.safetensors", snapshots / "000006.safetensors")
    record = unmeasured.evaluate()
    best = record["best"]
    assert best["step"] == 3 and best["fid"]["protocol"]["generated_count"] == 600
    assert best["fid"]["value"] not in [record["metrics"]["fid"]["value"], *(point["fid"] for point in record["curve"])]
    assert best["fid"]["value"] == pytest.approx(record["metrics"]["fid"]["value"], rel=0.2)
    # By hand, with z that neither the curve nor the final figures have seen.
    z = {purpose: latents(8, 600, 0, purpose) for purpose in ("best", "final")}
    assert not (z["best"][:, None] == z["final"][None]).all(-1).any()
    expected = unmeasured.fid(snapshots / "000003.safetensors", z["best"])
    assert best["fid"]["value"] == pytest.approx(expected, rel=1e-6)


def test_the_untrained_generator_is_measured_for_seed_0_alone(measured, unmeasured):
    path = unmeasured.run_folder / "run.json"
    write_json(path, read_json(path) | {"seed": 1})
    record = unmeasured.evaluate()
    assert [point["step"] for point in record["curve"]] == [3, 6]
    assert record["untrained"]["fid"]["value"] is None and "seed 0" in record["untrained"]["fid"]["status"]
    assert record["metrics"] == measured.record["metrics"] and record["curve"] == measured.record["curve"][1:]
    assert (record["generated_images"], measured.record["generated_images"]) == (900, 1200)


def test_the_last_point_of_the_curve_is_of_the_first_final_images(measured):
    """By hand; and the final figures are of all z, which these are the first of."""
    z = latents(8, 600, 0, "final")
    for count, found in ((300, measured.record["curve"][-1]["fid"]), (600, measured.record["metrics"]["fid"]["value"])):
        expected = measured.fid(measured.run_folder / "generator.safetensors", z[:count])
        assert found == pytest.approx(expected, rel=1e-6)


def test_a_longer_curve_than_the_final_figures_samples_nothing_twice(unmeasured):
    record = unmeasured.evaluate(samples=200, curve_samples=300)
    assert record["generated_images"] == 900
    assert record["metrics"]["fid"]["protocol"]["generated_count"] == 200
    assert record["curve_protocol"]["generated_count"] == 300


def test_fid_is_measured_for_each_draw_and_the_first_is_the_figure(measured, unmeasured):
    record = unmeasured.evaluate(draws=3)
    fid = record["metrics"]["fid"]
    assert measured.record["metrics"]["fid"]["draws"] == [fid["value"]]
    assert len(set(fid["draws"])) == 3 and fid["draws"][0] == fid["value"]
    assert fid["draws"][1:] == pytest.approx([fid["value"]] * 2, rel=0.2)
    assert record["generated_images"] == measured.record["generated_images"] + 2 * 600


def test_real_and_generated_images_are_matched_at_one_count(measured, unmeasured):
    """200 are held out; of 600 generated ones the first 200 stand beside them, of 150 all beside 150 real ones."""
    matched = measured.record["matched"]
    real = measured.reference_record["other_split"]["metrics"]
    assert (matched["count"], matched["split"]) == (200, "test")
    depend = {"fid", "is", "recall", "coverage"}
    assert set(matched["generated"]) == depend and matched["real"] == {name: real[name] for name in depend}
    assert matched["generated"]["fid"]["value"] > measured.record["metrics"]["fid"]["value"]
    fewer = unmeasured.evaluate(samples=150, curve_samples=150)
    final, matched = fewer["metrics"], fewer["matched"]
    assert matched["count"] == 150
    assert {name: entry["value"] for name, entry in matched["generated"].items()} == {
        name: final[name]["value"] for name in matched["generated"]
    }
    kept = unmeasured.real()
    chosen = kept.held_out["features"][some_rows(200, 150)]
    expected = formulas.fid(formulas.statistics(chosen), kept.statistics)
    assert matched["real"]["fid"]["value"] == pytest.approx(expected, rel=1e-6) != real["fid"]["value"]


def test_pictures_lie_beside_the_record(measured):
    folder = measured.evaluation_folder
    for name in ("samples.png", "film.png", "interpolation.png", "neighbours.png"):
        assert Image.open(folder / name).width > 28, name
    assert {path.stem for path in (folder / "attention").iterdir()} == {"generator-14", "discriminator-14"}


def test_training_images_of_celeba_are_never_drawn(unmeasured):
    path = unmeasured.paths.reference(unmeasured.reference.key) / "reference.json"
    write_json(path, read_json(path) | {"kind": "celeba"})
    unmeasured.evaluate()
    assert (unmeasured.evaluation_folder / "samples.png").exists()
    assert not (unmeasured.evaluation_folder / "neighbours.png").exists()


def test_the_same_run_measures_the_same(measured, unmeasured):
    again = unmeasured.evaluate()
    for key in ("metrics", "matched", "untrained", "best", "curve", "memorisation", "attention", "generated_images"):
        assert again[key] == measured.record[key], key
    for path in measured.evaluation_folder.rglob("*.png"):
        again = unmeasured.evaluation_folder / path.relative_to(measured.evaluation_folder)
        assert again.read_bytes() == path.read_bytes()


def test_z_is_that_of_the_evaluation_and_not_of_the_run(unmeasured):
    """Another training seed sees the same z; another evaluation seed does not."""
    run = read_json(unmeasured.run_folder / "run.json")
    one = Figures(unmeasured.evaluation, run, unmeasured.paths, torch.device("cpu"))
    other = Figures(unmeasured.evaluation, run | {"seed": 7, "variant": "other"}, unmeasured.paths, one.device)
    assert torch.equal(one.z(8), other.z(8))
    assert not torch.equal(one.z(8, "final"), one.z(8, "best"))
    assert not torch.equal(one.z(8, "final"), one.z(8, "final", draw=1))
    other.settings = one.settings | {"seed": 1}
    assert not torch.equal(one.z(8), other.z(8))


def test_a_constant_generator_is_called_that(unmeasured):
    change_tensors(unmeasured.run_folder / "generator.safetensors", make_constant)
    record = unmeasured.evaluate()
    metrics = record["metrics"]
    assert {entry["status"] for entry in metrics.values()} == {CONSTANT}
    assert metrics["precision"]["value"] is metrics["density"]["value"] is None
    assert metrics["is"]["value"] == pytest.approx(1)
    assert metrics["recall"]["value"] == 0 and metrics["coverage"]["value"] < 0.05
    assert metrics["fid"]["value"] > 0
    assert (unmeasured.evaluation_folder / "samples.png").exists()


def test_images_that_are_not_finite_have_no_figure(unmeasured):
    change_tensors(unmeasured.run_folder / "generator.safetensors", make_nan)
    record = unmeasured.evaluate()
    for entry in record["metrics"].values():
        assert entry["value"] is None and entry["status"] == "not finite: the features of 600 of 600 generated images"
    assert record["memorisation"]["status"].startswith("not finite")
    assert record["status"] == "measured" and record["curve"][0]["fid"] is not None


def test_too_few_images_for_the_features_have_no_fid(unmeasured):
    record = unmeasured.evaluate(samples=100, curve_samples=100)
    metrics = record["metrics"]
    assert metrics["fid"]["value"] is None
    assert metrics["fid"]["status"] == "too few images: 100, and 128 features need 128"
    assert metrics["fid_infinity"]["value"] is None and "too few" in metrics["fid_infinity"]["status"]
    assert metrics["kid"]["status"] == "measured" and metrics["kid"]["protocol"]["subset_size"] == 100
    assert [point["fid"] for point in record["curve"]] == [None] * 3 and record["best"] is None


def test_a_diverged_run_has_pictures_and_no_figures(unmeasured):
    path = unmeasured.run_folder / "run.json"
    write_json(path, read_json(path) | {"status": "diverged", "diverged_at": 5})
    found = unmeasured.evaluate()
    assert (found["status"], found["best"]) == ("diverged", None) and found["metrics"] == found["memorisation"] == {}
    assert len(found["curve"]) == 3 and (unmeasured.evaluation_folder / "samples.png").exists()


def test_nothing_is_measured_twice(measured):
    assert measured.evaluate() == measured.record


def test_a_missing_reference_is_named(unmeasured):
    (unmeasured.paths.reference(unmeasured.reference.key) / "reference.json").unlink()
    with pytest.raises(UserError, match=r"make it with `python -m sagan reference"):
        unmeasured.evaluate()


def test_a_flipped_bit_in_the_prepared_images_is_refused(unmeasured):
    flip_a_bit(unmeasured.paths.prepared("strokes", 28) / "images.npy")
    with pytest.raises(UserError, match="the arrays have changed since they were prepared"):
        unmeasured.evaluate()
