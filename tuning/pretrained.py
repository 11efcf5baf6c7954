"""Pretrained weights of a study: the driver finds, fetches and checks them before any worker starts."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from search_spaces.composition import compose
from search_spaces.schema import Parameter, StudyConfig, Value
from trainables.config.models import BackboneConfig
from trainables.config.references import absolute, expanded_path
from trainables.errors import InfeasibleError
from trainables.models.weights import fetch_weights
from tuning.search.feasibility import Feasibility
from tuning.storage.paths import StudyFolder
from tuning.tracking.registry import resolve_model_uri

_WEIGHTS, _ARCHITECTURE = "model.weights", "model.architecture"


def with_local_weights(study: StudyConfig, tracking_uri: str, folder: StudyFolder) -> StudyConfig:
    """The study with registered models (`models:/NAME@champion`) saved to files, and absolute paths of all files.

    Raises:
        InputError: the registered model does not exist.
    """

    def local(weights: Any) -> Any:
        return [local(one) for one in weights] if isinstance(weights, list) else _local(weights, tracking_uri, folder)

    if isinstance(study.model, BackboneConfig) and "weights" in study.model.model_fields_set:
        model = study.model.model_copy(update={"weights": local(study.model.weights)})
        study = study.model_copy(update={"model": model})
    space = {path: _mapped(path, parameter, local) for path, parameter in study.space.items()}
    return study.model_copy(update={"space": space})


def fetch_and_check(study: StudyConfig, feasibility: Feasibility) -> None:
    """Fetch and check every combination of architecture and weights that the study may try.

    Raises:
        InputError: a download failed, or a file is missing or does not fit; says what to put where.
    """
    for values in _combinations(study):
        try:
            config = compose(study, values)
            fetch_weights(config.model)
            feasibility.check(config)
        except InfeasibleError:
            continue  # the search records it as infeasible, with the reason


def _local(weights: Value, tracking_uri: str, folder: StudyFolder) -> Value:
    if not isinstance(weights, str):
        return weights
    if weights.startswith("models:/"):
        return str(resolve_model_uri(weights, tracking_uri, folder.registered(weights)))
    path = Path(weights).expanduser()
    return str(absolute(path)) if expanded_path(path).is_file() else weights


def _mapped(path: str, parameter: Parameter, local: Callable[[Any], Any]) -> Parameter:
    """The parameter with local weights in its choices and its condition."""
    update: dict[str, object] = {}
    if path == _WEIGHTS and parameter.choices is not None:
        update["choices"] = local(parameter.choices)
    if parameter.when is not None and _WEIGHTS in parameter.when:
        update["when"] = {**parameter.when, _WEIGHTS: local(parameter.when[_WEIGHTS])}
    return parameter.model_copy(update=update) if update else parameter


def _combinations(study: StudyConfig) -> Iterator[dict[str, Value]]:
    varied = {path: study.space[path].choices or [] for path in (_ARCHITECTURE, _WEIGHTS) if path in study.space}
    for choice in itertools.product(*varied.values()):
        yield dict(zip(varied, choice, strict=True))
