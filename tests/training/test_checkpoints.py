"""A checkpoint is whole or not used."""

import pytest
import torch

from sagan.training.checkpoints import load_checkpoint, save_checkpoint

CPU = torch.device("cpu")


def save(folder, step):
    save_checkpoint(folder, step, {"w": torch.full((3,), float(step))}, {"seconds": step / 10})


def test_the_newest_is_loaded_and_two_are_kept(tmp_path):
    for step in (10, 20, 30):
        save(tmp_path, step)
    tensors, record = load_checkpoint(tmp_path, CPU)
    assert tensors["w"].tolist() == [30.0] * 3 and record["step"] == 30 and record["seconds"] == 3.0
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == [
        "00000020.safetensors",
        "00000030.safetensors",
    ]


@pytest.mark.parametrize("damage", [lambda b: b[:-4], lambda b: b[:-1] + b"\x7f", lambda b: b""])
def test_a_damaged_one_is_passed_over_with_a_warning(tmp_path, damage, capsys):
    save(tmp_path, 10)
    save(tmp_path, 20)
    path = tmp_path / "00000020.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    tensors, record = load_checkpoint(tmp_path, CPU)
    assert capsys.readouterr().err == f"sagan: warning: {path}: damaged, so the checkpoint before it is used\n"
    assert record["step"] == 10 and tensors["w"].tolist() == [10.0] * 3


def test_a_torn_record_is_passed_over_too(tmp_path, capsys):
    save(tmp_path, 10)
    save(tmp_path, 20)
    (tmp_path / "00000020.json").write_text('{"step": 20')
    assert load_checkpoint(tmp_path, CPU)[1]["step"] == 10 and "damaged" in capsys.readouterr().err


def test_none_there(tmp_path):
    assert load_checkpoint(tmp_path, CPU) is None
