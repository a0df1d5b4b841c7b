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
    assert sorted(path.stem for path in tmp_path.glob("*.safetensors")) == ["00000020", "00000030"]


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("00000020.safetensors", lambda b: b[:-4]),
        ("00000020.safetensors", lambda b: b[:-1] + b"\x7f"),
        ("00000020.safetensors", lambda b: b""),
        ("00000020.json", lambda b: b'{"step": 20'),
        ("00000020.json", lambda b: b"[" * 100_000),
    ],
)
def test_a_damaged_one_is_passed_over_with_a_warning(tmp_path, file, damage, capsys):
    save(tmp_path, 10)
    save(tmp_path, 20)
    path = tmp_path / file
    path.write_bytes(damage(path.read_bytes()))
    tensors, record = load_checkpoint(tmp_path, CPU)
    weights = path.with_suffix(".safetensors")
    told = f"sagan: warning: {weights}: damaged, so the checkpoint before it is used\n"
    assert capsys.readouterr().err == told
    assert record["step"] == 10 and tensors["w"].tolist() == [10.0] * 3
