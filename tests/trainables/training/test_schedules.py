import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from trainables.config.schedule import ScheduleConfig
from trainables.training.schedules import SCHEDULES, learning_rate_factor

_SCHEDULE: TypeAdapter[ScheduleConfig] = TypeAdapter(ScheduleConfig)


def _factors(config: dict[str, object], epochs: int, losses: list[float] | None = None) -> list[float]:
    schedule = _SCHEDULE.validate_python(config)
    return [learning_rate_factor(schedule, epoch, epochs, losses or []) for epoch in range(epochs)]


@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    share=st.floats(0, 1),
    epochs=st.integers(1, 60),
    warmup=st.floats(0, 5),
    losses=st.lists(st.floats(0, 10), max_size=20),
)
def test_every_factor_lies_between_nought_and_one(
    name: str, share: float, epochs: int, warmup: float, losses: list[float]
) -> None:
    schedule = _SCHEDULE.validate_python({"name": name, "warmup_epochs": warmup})
    assert 0.0 <= learning_rate_factor(schedule, share * epochs, epochs, losses) <= 1.0


@pytest.mark.parametrize(
    ("config", "reference"),
    [
        (
            {"name": "step", "step_epochs": 3, "gamma": 0.5},
            lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=3, gamma=0.5),
        ),
        ({"name": "cosine"}, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=10)),
        (
            {"name": "cosine_restarts", "period_epochs": 2, "period_multiplier": 2},
            lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=2, T_mult=2),
        ),
        ({"name": "exponential", "gamma": 0.8}, lambda o: torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.8)),
    ],
)
def test_schedules_agree_with_torchs_own(config: dict[str, object], reference: object) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = reference(optimizer)
    expected = []
    for _ in range(10):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert _factors(config, 10) == pytest.approx(expected)


def test_plateau_agrees_with_torchs_own() -> None:
    losses = [1.0, 0.9, 0.95, 0.93, 0.92, 0.94, 0.5, 0.6, 0.6, 0.6, 0.6]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=0.0)
    schedule = _SCHEDULE.validate_python({"name": "plateau", "factor": 0.5, "patience": 2})
    for epoch, loss in enumerate(losses, start=1):
        scheduler.step(loss)
        factor = learning_rate_factor(schedule, epoch, 20, losses[:epoch])
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"])


def test_one_cycle_rises_then_falls() -> None:
    factors = _factors({"name": "one_cycle", "rise": 0.3}, 10)
    assert factors[0] == pytest.approx(0.04)
    assert max(factors) == factors[3] == pytest.approx(1.0)
    assert factors[3:] == sorted(factors[3:], reverse=True)


def test_warm_up_rises_linearly_and_the_schedule_begins_after_it() -> None:
    factors = _factors({"name": "cosine", "warmup_epochs": 2}, 10)
    assert factors[:3] == pytest.approx([0.0, 0.5, 1.0])
    assert factors[3] < 1.0
