"""Logs the champion's model once and registers it under the study's name with the alias `champion`."""

import copy
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainables.errors import InputError
from tuning.tracking.mirror import Mirror
from tuning.tracking.mlflow_store import RegisteredModel, Store, TrackingError, save_model
from tuning.tracking.state import TrackingState, masked, read_state
from tuning.tracking.translator import TRIAL_TAG, flatten

ALIAS = "champion"
_WEIGHTS = "weights.pt"
_MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[\w-]+)|/(?P<version>\d+))")


def log_champion(
    mirror: Mirror, number: int, params: Mapping[str, Any], module: nn.Module, example: NDArray[np.float32]
) -> str:
    """Log trial `number`'s model under its run and register it as the study's name with the alias `champion`.

    Idempotent: another call, also after a crash halfway, does only what is missing.

    Args:
        mirror: the study's mirror; may be running.
        number: the trial's number.
        params: the trial's parameters.
        module: takes images N x C x H x W, float32 in [0, 1], and returns N x classes scores. Not changed.
        example: such images; the first is logged as the model's input example.

    Returns:
        `models:/NAME/VERSION`.

    Raises:
        TrackingError: MLflow did not accept it.
    """
    folder, tracking_uri = mirror.folder, mirror.tracking_uri
    mirror.bring_up_to_date()
    state = read_state(folder)
    if state is None or number not in state.runs:
        raise TrackingError(f"trial {number} has no run in MLflow at {masked(tracking_uri)}; was it deleted there?")
    store, run_id = Store(tracking_uri), state.runs[number]
    model_id = store.find_model(state.experiment_id, run_id)
    if model_id is None:
        model_id = _log(store, state, folder.name, run_id, flatten(params), module, example)
    version = store.register(folder.name, model_id, run_id, ALIAS, {TRIAL_TAG: str(number)})
    return f"models:/{folder.name}/{version}"


def resolve_model_uri(model_uri: str, tracking_uri: str, destination: Path) -> Path:
    """Fetch the weights of a model that this program registered, for example `models:/digits@champion`.

    Returns:
        A file in `destination` with a state dict: `torch.load(path, weights_only=True)`.

    Raises:
        InputError: the model does not exist or another program logged it, or MLflow did not answer.
    """
    try:
        return Store(tracking_uri).download(_parse(model_uri), f"extra_files/{_WEIGHTS}", destination)
    except TrackingError as error:
        raise InputError(
            f"MLflow at {masked(tracking_uri)} has no weights for {model_uri} ({error}); name a model that a study "
            "registered there, as models:/NAME@champion or models:/NAME/VERSION"
        ) from error


def _parse(model_uri: str) -> RegisteredModel:
    match = _MODEL_URI.fullmatch(model_uri)
    if match is None:
        raise InputError(f"not a registered model: {model_uri}; write models:/NAME@champion or models:/NAME/VERSION")
    return RegisteredModel(match["name"], match["alias"], match["version"] or "")


def _log(
    store: Store,
    state: TrackingState,
    name: str,
    run_id: str,
    params: dict[str, str],
    module: nn.Module,
    example: NDArray[np.float32],
) -> str:
    ready = copy.deepcopy(module).cpu().eval()
    with torch.inference_mode():
        scores = ready(torch.from_numpy(example[:1]))
    with tempfile.TemporaryDirectory() as temporary:
        weights, files = Path(temporary) / _WEIGHTS, Path(temporary) / "model"
        torch.save(ready.state_dict(), weights)
        save_model(files, ready, example[:1], scores.shape[1], [weights])
        return store.log_model(state.experiment_id, run_id, name, params, files)
