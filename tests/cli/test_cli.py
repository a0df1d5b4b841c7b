"""The command line: help for a newcomer, one line for a mistake, and the exit codes."""

import json
import re

import pytest

VERBS = ("data", "plan", "train", "reference", "evaluate", "track", "report", "sample", "attend", "prune")


def assert_one_line(done, *parts):
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


def test_help_lists_the_verbs_and_each_has_its_own(sagan):
    listing = sagan("--help").stdout
    assert all(verb in listing for verb in VERBS)
    for verb in ("train", "prune"):
        assert "Usage" in sagan(verb, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("plan",), ("not prepared", "python -m sagan data")),
        (("plan", "--suite", "quik"), ("quik", "quick")),
        (("data", "--dataset", "cifar"), ("cifar", "mnist5k")),
        (("data", "--suite", "mnist"), ("originals/mnist",)),
        (("data", "--suite", "celeba64"), ("originals/celeba",)),
        (("train", "sagan-s0-0123456789"), ("sagan-s0-0123456789", "plan")),
        (("evaluate", "x", "--plan", "none.json"), ("none.json", "plan --out")),
        (("sample", "nowhere.safetensors"), ("nowhere.safetensors",)),
        (("attend", "sagan-s0-0123456789"), ("sagan-s0-0123456789: no such file, folder or run", "plan")),
        (("export", "sagan-s0-0123456789", "g.onnx"), ("sagan-s0-0123456789: no such file, folder or run", "plan")),
        (("describe", "sagen"), ("sagen", "did you mean 'sagan'?")),
        (("describe", "sagan-grid"), ("sagan-grid: no such variant", "sagan-grid-on-both-ttur-1")),
        (("describe", "sagan", "--suite", "quik"), ("quik", "did you mean 'quick'?")),
        (
            ("describe", "sagan-multiscale", "--resolution", "28"),
            ("discriminator.scales = 2", "--resolution 28", "would see 14"),
        ),
    ],
)
def test_a_mistake_ends_in_one_line_and_exit_code_2(sagan, arguments, parts):
    assert_one_line(sagan(*arguments), *parts)


def test_describing_a_suites_variant_shows_the_images_of_its_dataset(sagan):
    shown = sagan("describe", "sagan", "--suite", "quick").stdout
    assert "| 1 x 28 x 28 " in shown and "64 x 64" not in shown
    assert "| 3 x 64 x 64 " in sagan("describe", "sagan", "--suite", "celeba64").stdout
    assert "| 1 x 32 x 32 " in sagan("describe", "sagan", "--suite", "quick", "--resolution", "32").stdout


def test_describing_a_recipe_says_what_runs_and_where_each_value_is_said(sagan):
    lines = sagan("describe", "small-grid-off-both-ttur-1", "--recipe", "--suite", "quick").stdout.splitlines()
    cells = [re.split(" {2,}", line) for line in lines]
    rows = {row[0]: tuple(row[1:]) for row in cells if len(row) == 3}
    assert rows["optimizer.lr_g"] == ("0.008", "variants.sagan-small.optimizer.lr_g")
    assert rows["optimizer.lr_ratio"] == ("1", "variants.sagan-grid.grid.ratio.ttur-1.optimizer.lr_ratio")
    assert rows["training.steps"] == ("720", "suites.quick.training.steps")
    assert rows["training.precision"] == ("float32", "default") and "generator.attention_at" not in rows
    assert not any(line.startswith("training") for line in sagan("describe", "sagan", "--recipe").stdout.splitlines())


@pytest.mark.parametrize("verb", ["train", "reference"])
def test_nothing_is_made_of_images_that_have_changed_since(sagan, tmp_path, verb):
    sagan("data")
    sagan("plan", "--out", "plan.json")
    plan = json.loads((tmp_path / "plan.json").read_text())
    key = next(iter(plan[{"train": "runs", "reference": "references"}[verb]]))
    with (tmp_path / "data/prepared/mnist5k-28/images.npy").open("r+b") as file:
        file.seek(1_000_000)
        file.write(bytes(1000))
    done = sagan(verb, key, "--plan", "plan.json")
    assert done.returncode == 2 and "the arrays have changed since they were prepared" in done.stderr
    assert done.stderr.count("\n") == 1 and not (tmp_path / "results").exists()
