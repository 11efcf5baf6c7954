"""The champion in the registry, read back by MLflow alone."""

import subprocess
import sys

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from torch import nn

from trainables.errors import InputError
from tuning.storage.journal import ChampionLogged
from tuning.tracking.mirror import Mirror
from tuning.tracking.mlflow_store import TrackingError
from tuning.tracking.registry import log_champion, resolve_model_uri
from tuning.tracking.state import read_run_ids

IMAGES = np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32)


@pytest.fixture
def module():
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 10))
    return nn.Sequential(*layers)


@pytest.fixture
def finished(study):
    study.open()
    study.trial(0)
    study.trial(1)
    study.end()
    return study


def log(study, uri, number, module):
    return log_champion(Mirror(study.folder, uri), number, {"model.filters": 16}, module, IMAGES)


def test_logged_registered_and_read_back_elsewhere(finished, uri, module, tmp_path):
    model_uri = log(finished, uri, 1, module)
    assert model_uri == "models:/tiny/1"
    assert module.training, "the caller's module stays as it was"
    script = (
        "import sys, mlflow, numpy as np, torch\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "model = mlflow.pytorch.load_model('models:/tiny@champion')\n"
        "assert not model.training and model.eval() is model\n"
        "images = np.load(sys.argv[2])\n"
        "np.save(sys.argv[3], np.concatenate([model(torch.from_numpy(images)).detach().numpy(),\n"
        "    mlflow.pyfunc.load_model('models:/tiny@champion').predict(images)]))\n"
    )
    np.save(tmp_path / "images.npy", np.concatenate([IMAGES] * 3))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    arguments = [uri, str(tmp_path / "images.npy"), str(tmp_path / "scores.npy")]
    subprocess.run(
        [sys.executable, "-c", script, *arguments],
        check=True,
        cwd=elsewhere,
    )
    with torch.inference_mode():
        expected = module.eval()(torch.from_numpy(np.concatenate([IMAGES] * 6))).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), expected, rtol=1e-5, atol=1e-6)


def test_signature_example_and_origin(finished, uri, module):
    log(finished, uri, 1, module)
    client = MlflowClient(uri)
    version = client.get_model_version_by_alias("tiny", "champion")
    [logged] = client.search_logged_models(["1"])
    assert version.source == logged.artifact_location
    assert version.run_id == read_run_ids(finished.folder)[1]
    assert version.tags["tune.trial"] == "1"
    assert logged.source_run_id == version.run_id
    assert logged.params["model.filters"] == "16"
    files = client.list_logged_model_artifacts(logged.model_id)
    assert {"MLmodel", "input_example.json", "requirements.txt", "code", "data", "extra_files"} <= {
        file.path for file in files
    }
    info = mlflow.models.Model.load(logged.artifact_location.removeprefix("file://"))
    assert info.signature.inputs.inputs[0].shape == (-1, 1, 8, 8)
    assert info.signature.outputs.inputs[0].shape == (-1, 10)


def test_the_same_trial_is_registered_once(finished, uri, module):
    first = log(finished, uri, 1, module)
    assert log(finished, uri, 1, module) == first  # as after a crash before the journal knew
    finished.write(ChampionLogged(number=1, model_uri=first))
    client = MlflowClient(uri)
    assert len(client.search_model_versions("name = 'tiny'")) == 1
    assert len(client.search_logged_models(["1"])) == 1


def test_a_new_champion_takes_the_alias(finished, uri, module):
    first = log(finished, uri, 1, module)
    finished.write(ChampionLogged(number=1, model_uri=first))
    assert log(finished, uri, 0, module) == "models:/tiny/2"
    assert MlflowClient(uri).get_model_version_by_alias("tiny", "champion").version in (2, "2")


def test_weights_for_a_later_study(finished, uri, module, tmp_path):
    log(finished, uri, 1, module)
    path = resolve_model_uri("models:/tiny@champion", uri, tmp_path / "weights")
    assert path.is_relative_to(tmp_path / "weights" / "1")  # another champion will not overwrite it
    weights = torch.load(path, weights_only=True)
    assert weights.keys() == module.state_dict().keys()
    assert all(torch.equal(weights[key], value) for key, value in module.state_dict().items())


@pytest.mark.parametrize("model_uri", ["models:/nobody@champion", "models:/tiny/7", "tiny", "models:/tiny@best"])
def test_weights_that_are_not_there(finished, uri, module, tmp_path, model_uri):
    log(finished, uri, 1, module)
    with pytest.raises(InputError, match="models:/NAME@champion"):
        resolve_model_uri(model_uri, uri, tmp_path / "weights")


def test_a_trial_without_a_run(finished, uri, module):
    with pytest.raises(TrackingError, match="trial 9 has no run"):
        log(finished, uri, 9, module)
