from collections import Counter

import pytest

from cli.display import formatting


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (59.94, "59.9s"),
        (59.97, "1m00s"),
        (60, "1m00s"),
        (3599.6, "1h00m"),
        (7384, "2h03m"),
        (100_000, "1d03h"),
    ],
)
def test_durations_never_show_sixty_of_anything(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


def test_accuracies_are_percentages_and_losses_numbers() -> None:
    assert formatting.metric("val_accuracy", 0.98765) == "98.77 %"
    assert formatting.metric("val_loss", 0.0123456) == "0.01235"
    assert formatting.metric("val_loss", None) == "-"


def test_paths_are_shortened_where_that_is_unambiguous() -> None:
    params = {"model.name": "cnn", "optimizer.name": "sgd", "optimizer.learning_rate": 0.000123456}
    assert formatting.parameters(params) == "model=cnn optimizer=sgd learning_rate=0.0001235"
    assert formatting.parameters({"model.dropout": 0.1, "head.dropout": 0.2}) == "model.dropout=0.1 head.dropout=0.2"


def test_counts_name_what_there_is_in_a_fixed_order() -> None:
    assert formatting.counts(Counter(failed=1, completed=2, stopped=0)) == "2 completed, 1 failed"
    assert formatting.counts({}) == "none yet"
