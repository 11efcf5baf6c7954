from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.splits import stratified_split
from trainables.errors import DataError

CLASSES = ("a", "b", "c")


def names_and_labels(counts: list[int]) -> tuple[list[str], np.ndarray]:
    labels = np.repeat(np.arange(len(counts)), counts)
    return [f"{label}/{row}" for row, label in enumerate(labels)], labels


@given(
    counts=st.lists(st.integers(2, 60), min_size=3, max_size=3),
    fraction=st.floats(0.001, 0.999),
    seed=st.integers(0, 2**31),
)
def test_split_is_disjoint_complete_stratified_and_repeatable(counts: list[int], fraction: float, seed: int) -> None:
    names, labels = names_and_labels(counts)
    rest, held = stratified_split(names, labels, fraction, seed, "test", CLASSES)
    assert sorted([*rest, *held]) == list(range(len(names)))
    for label, count in enumerate(counts):
        of_class = int((labels[held] == label).sum())
        assert 1 <= of_class <= count - 1
        assert abs(of_class - fraction * count) <= 1
    again = stratified_split(names, labels, fraction, seed, "test", CLASSES)
    assert np.array_equal(again[0], rest)
    assert np.array_equal(again[1], held)


@given(counts=st.lists(st.integers(3, 60), min_size=3, max_size=3), seed=st.integers(0, 100), data=st.data())
def test_an_added_image_moves_at_most_one_other(counts: list[int], seed: int, data: st.DataObject) -> None:
    names, labels = names_and_labels(counts)
    new = data.draw(st.integers(0, 2))
    _, before = stratified_split(names, labels, 0.3, seed, "test", CLASSES)
    _, after = stratified_split([*names, "new"], np.append(labels, new), 0.3, seed, "test", CLASSES)
    assert len({names[row] for row in before} ^ {[*names, "new"][row] for row in after} - {"new"}) <= 1


def test_order_of_files_does_not_matter() -> None:
    names, labels = names_and_labels([9, 7, 8])
    order = np.random.default_rng(0).permutation(len(names))
    _, held = stratified_split(names, labels, 0.3, 0, "test", CLASSES)
    _, shuffled = stratified_split([names[row] for row in order], labels[order], 0.3, 0, "test", CLASSES)
    assert {names[row] for row in held} == {names[order[row]] for row in shuffled}


def test_seeds_and_purposes_draw_differently() -> None:
    names, labels = names_and_labels([50, 50, 50])
    chosen = {
        tuple(stratified_split(names, labels, 0.5, seed, purpose, CLASSES)[1])
        for seed in (0, 1)
        for purpose in ("test", "validation")
    }
    assert len(chosen) == 4


def test_fraction_zero_holds_nothing() -> None:
    names, labels = names_and_labels([1, 1, 1])
    rest, held = stratified_split(names, labels, 0.0, 0, "test", CLASSES)
    assert (len(rest), len(held)) == (3, 0)


def test_a_class_too_small_is_named() -> None:
    names, labels = names_and_labels([5, 1, 5])
    with pytest.raises(DataError, match=r"class 'b' has too few images for the test split: 1, and at least 2"):
        stratified_split(names, labels, 0.2, 0, "test", CLASSES)


def test_the_split_of_today_is_the_split_of_tomorrow() -> None:
    """A sealed test split must not be redrawn by an update: this pins it."""
    names, labels = names_and_labels([5, 5, 5])
    _, held = stratified_split(names, labels, 0.4, 0, "test", CLASSES)
    assert Counter(labels[held].tolist()) == {0: 2, 1: 2, 2: 2}
    assert held.tolist() == PINNED


PINNED = [0, 3, 6, 9, 10, 11]
