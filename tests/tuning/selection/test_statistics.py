import numpy as np
import pytest
from scipy import stats

from tuning.selection.statistics import accuracy_interval, mean_interval


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (10, 10), (9, 10), (350, 360), (9912, 10_000)])
def test_accuracy_interval_is_wilsons(correct: int, n: int) -> None:
    expected = stats.binomtest(correct, n).proportion_ci(0.95, method="wilson")
    assert accuracy_interval(correct, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_accuracy_interval_stays_within_zero_and_one() -> None:
    assert accuracy_interval(0, 1)[0] == 0.0
    assert accuracy_interval(1, 1)[1] == 1.0


@pytest.mark.parametrize(("correct", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_an_impossible_share_is_refused(correct: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        accuracy_interval(correct, n)


def test_mean_interval_is_students() -> None:
    values = [0.91, 0.93, 0.90, 0.95]
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    estimate = mean_interval(values)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert estimate.mean == pytest.approx(np.mean(values))


def test_of_differences_it_is_the_paired_t_test() -> None:
    a, b = [0.91, 0.93, 0.90, 0.95], [0.90, 0.93, 0.88, 0.93]
    expected = stats.ttest_rel(a, b).confidence_interval(0.99)
    estimate = mean_interval([x - y for x, y in zip(a, b, strict=True)], 0.99)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert estimate.includes_zero == (stats.ttest_rel(a, b).pvalue > 0.01)


def test_one_value_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 2 values, got 1"):
        mean_interval([0.5])


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    hits = sum(
        (estimate := mean_interval(list(random.normal(0.9, 0.01, 3)))).low <= 0.9 <= estimate.high for _ in range(2000)
    )
    assert 0.935 < hits / 2000 < 0.965
