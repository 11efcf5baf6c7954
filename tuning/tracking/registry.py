"""The champion's model: logged once, registered under the study's name, alias `champion`."""

import copy
import re
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainables.errors import InputError
from tuning.storage.paths import StudyFolder
from tuning.storage.study_state import read_record
from tuning.tracking.mirror import Mirror
from tuning.tracking.mlflow_store import RegisteredModel, Store, TrackingError, save_model
from tuning.tracking.state import TrackingState, masked, read_state
from tuning.tracking.translator import TRIAL_TAG, flatten

ALIAS = "champion"
_WEIGHTS = "weights.pt"
_MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[\w-]+)|/(?P<version>\d+))")


def log_champion(
    folder: StudyFolder, tracking_uri: str, number: int, module: nn.Module, example: NDArray[np.float32]
) -> str:
    """Log trial `number`'s model under its run and register it as the study's name with the alias `champion`.

    Doing it again, also after a crash halfway, finishes what is missing and adds nothing twice. The caller writes
    `ChampionLogged` to the journal; while that event is the last of its kind, the model is not even built again.

    Args:
        folder: the study.
        tracking_uri: address of MLflow.
        number: the trial.
        module: takes images N x C x H x W, float32 in [0, 1], and gives N x classes scores. Left as it is.
        example: such images; the first becomes the model's input example.

    Returns:
        `models:/NAME/VERSION`.

    Raises:
        TrackingError: MLflow did not take it.
    """
    record = read_record(folder.journal)
    if record.champion_model is not None and record.champion_model.number == number:
        return record.champion_model.model_uri
    Mirror(folder, tracking_uri).bring_up_to_date()
    state = read_state(folder)
    if state is None or number not in state.runs:
        raise TrackingError(f"trial {number} has no run in MLflow at {masked(tracking_uri)}; was it deleted there?")
    store, run_id = Store(tracking_uri), state.runs[number]
    model_id = store.find_model(state.experiment_id, run_id)
    if model_id is None:
        trial = next(trial for trial in record.trials if trial.number == number)
        model_id = _log(
            store,
            state,
            folder.name,
            run_id,
            flatten(trial.params),
            module,
            example,
        )
    version = store.register(folder.name, model_id, run_id, ALIAS, {TRIAL_TAG: str(number)})
    return f"models:/{folder.name}/{version}"


def resolve_model_uri(model_uri: str, tracking_uri: str, destination: Path) -> Path:
    """Fetch the weights of a model that this program registered, for example `models:/digits@champion`.

    Returns:
        A file in `destination` with a plain state dict: `torch.load(path, weights_only=True)`.

    Raises:
        InputError: no such model, or one that another program logged; or MLflow did not answer.
    """
    try:
        return Store(tracking_uri).download(_parse(model_uri), f"extra_files/{_WEIGHTS}", destination)
    except TrackingError as error:
        raise InputError(
            f"{model_uri} gives no weights from MLflow at {masked(tracking_uri)} ({error}); give a model that a study "
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
