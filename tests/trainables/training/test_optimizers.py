import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from trainables.config.optimizer import OptimizerConfig
from trainables.training.optimizers import OPTIMIZERS, build_optimizer, set_learning_rate

_OPTIMIZER: TypeAdapter[OptimizerConfig] = TypeAdapter(OptimizerConfig)


def _model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_takes_a_step(name: str) -> None:
    model = _model()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = build_optimizer(_OPTIMIZER.validate_python({"name": name, "weight_decay": 0.01}), model)
    model(torch.randn(8, 4, generator=torch.Generator().manual_seed(0))).sum().backward()
    optimizer.step()
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_options_reach_torch() -> None:
    config = _OPTIMIZER.validate_python({"name": "sgd", "momentum": 0.9, "nesterov": True, "learning_rate": 0.5})
    group = build_optimizer(config, _model()).param_groups[0]
    assert (group["momentum"], group["nesterov"], group["lr"]) == (0.9, True, 0.5)
    config = _OPTIMIZER.validate_python({"name": "adamw", "beta1": 0.8, "beta2": 0.9})
    assert build_optimizer(config, _model()).param_groups[0]["betas"] == (0.8, 0.9)


def test_norms_and_biases_can_be_spared_from_weight_decay() -> None:
    config = _OPTIMIZER.validate_python({"name": "sgd", "weight_decay": 0.1, "decay_norms_and_biases": False})
    groups = build_optimizer(config, _model()).param_groups
    assert {group["weight_decay"]: len(group["params"]) for group in groups} == {0.1: 2, 0.0: 4}


def test_frozen_parameters_are_left_out() -> None:
    model = _model()
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    groups = build_optimizer(_OPTIMIZER.validate_python({"name": "adam"}), model).param_groups
    assert sum(len(group["params"]) for group in groups) == 4


def test_the_schedules_factor_keeps_the_groups_ratio() -> None:
    optimizer = torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(1))], "lr": 0.1, "base_lr": 0.1}], lr=1.0)
    set_learning_rate(optimizer, 0.5)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
