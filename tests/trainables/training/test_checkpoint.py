from pathlib import Path

import pytest
import torch

from trainables.errors import InputError, UnsafePathError
from trainables.training.checkpoint import (
    Checkpoint,
    load_best,
    load_checkpoint,
    remove_resumable,
    save_best,
    save_checkpoint,
    save_frozen,
)


def _checkpoint(epoch: int, trial_hash: str = "a") -> Checkpoint:
    return Checkpoint(
        trial_hash=trial_hash,
        history=[{"val_loss": float(index)} for index in range(epoch)],
        model={"weight": torch.full((3,), float(epoch))},
        optimizer={"state": {}, "param_groups": []},
        random_states={"torch": torch.get_rng_state()},
    )


def test_the_newest_checkpoint_comes_back_whole(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        save_checkpoint(tmp_path, _checkpoint(epoch))
    loaded = load_checkpoint(tmp_path, "a")
    assert loaded is not None
    assert len(loaded.history) == 3
    assert torch.equal(loaded.model["weight"], torch.full((3,), 3.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 half a file", None])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, damage: bytes | None) -> None:
    save_checkpoint(tmp_path, _checkpoint(1))
    save_checkpoint(tmp_path, _checkpoint(2))
    content = (tmp_path / "last.pt").read_bytes()
    (tmp_path / "last.pt").write_bytes(content[: len(content) // 2] if damage is None else damage)
    with pytest.warns(UserWarning, match="cannot be read"):
        loaded = load_checkpoint(tmp_path, "a")
    assert loaded is not None
    assert len(loaded.history) == 1


def _flip_a_bit_of_the_weights(path: Path) -> None:
    """`torch.load` itself would not notice."""
    content = bytearray(path.read_bytes())
    position = content.index(torch.full((3,), 2.0).numpy().tobytes())
    content[position] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, _checkpoint(1))
    save_checkpoint(tmp_path, _checkpoint(2))
    _flip_a_bit_of_the_weights(tmp_path / "last.pt")
    with pytest.warns(UserWarning, match="cannot be read .* is damaged"):
        loaded = load_checkpoint(tmp_path, "a")
    assert loaded is not None
    assert len(loaded.history) == 1


@pytest.mark.parametrize("name", ["best.pt", "frozen.pt"])
def test_a_flipped_bit_in_the_best_weights_is_noticed(tmp_path: Path, name: str) -> None:
    save_frozen(tmp_path, {"frozen": torch.full((3,), 2.0)}, tmp_path / "none")
    save_best(tmp_path, {"weight": torch.full((3,), 2.0)})
    _flip_a_bit_of_the_weights(tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}: the best weights cannot be read .* is damaged"):
        load_best(tmp_path)


def test_a_link_in_a_checkpoints_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "trial").mkdir()
    for name in ("last.pt", "best.pt"):
        (tmp_path / "trial" / name).symlink_to(tmp_path / "precious")
    with pytest.raises(UnsafePathError, match="link"):
        save_best(tmp_path / "trial", {})
    with pytest.raises(UnsafePathError, match="link"):
        save_checkpoint(tmp_path / "trial", _checkpoint(1))
    with pytest.raises(UnsafePathError, match="link"):
        remove_resumable(tmp_path / "trial")
    assert (tmp_path / "precious").read_text() == "precious"


def test_another_trials_checkpoint_is_not_used(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, _checkpoint(1, trial_hash="b"))
    assert load_checkpoint(tmp_path, "a") is None


def test_a_failed_write_leaves_the_former_checkpoint_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, _checkpoint(1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainables.training.checkpoint.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, _checkpoint(2))
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    loaded = load_checkpoint(tmp_path, "a")
    assert loaded is not None
    assert len(loaded.history) == 1


def test_best_weights_outlive_what_only_resuming_needs(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, _checkpoint(1))
    save_best(tmp_path, {"weight": torch.ones(2)})
    remove_resumable(tmp_path)
    assert load_checkpoint(tmp_path, "a") is None
    assert torch.equal(load_best(tmp_path)["weight"], torch.ones(2))


def test_missing_best_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"best\.pt"):
        load_best(tmp_path)
