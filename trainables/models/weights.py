"""Pre-trained weights: finds, reads and checks them."""

import pickle
import re
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import nn
from torchvision import models
from torchvision.models.vision_transformer import interpolate_embeddings

from trainables.config.models import BackboneConfig, ModelConfig
from trainables.config.references import expanded_path, secrets_hidden
from trainables.errors import InputError
from trainables.models.architectures import check_architecture

State = dict[str, torch.Tensor]

_RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\."), r"\1\2."),
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
)
"""Renames keys in files that torchvision still offers but that predate its current module names."""

_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Auxiliary classifiers of GoogLeNet and Inception, which are not built."""

_OWN_TRUNK = "body.trunk."
"""Prefix of the trunk in this program's classifiers: a finished study's champion can be used as a backbone."""

_SHOWN = 5
"""Number of keys that an error lists."""


@dataclass(frozen=True)
class WeightsFile:
    """A file of pre-trained weights and its download URL."""

    path: Path
    url: str | None = None
    """Where to download the file from if it is missing."""


def locate_weights(config: BackboneConfig) -> WeightsFile | None:
    """Find the file that `weights` refers to; None for `none`. A file to download need not exist yet.

    Raises:
        InputError: an unknown name, or a missing file.
    """
    name = config.weights
    if name == "none":
        return None
    if name.startswith("models:/"):
        raise InputError(
            f"model.weights: {name} is a registered model; it must be saved to a state-dict file before trials use it"
        )
    offered = models.get_model_weights(config.architecture).__members__
    if name in offered:
        url: str = offered[name].url
        return WeightsFile(Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name, url)
    path = expanded_path(name)
    if not path.is_file():
        raise InputError(
            f"model.weights: {name!r} is neither a file nor weights that torchvision offers for {config.architecture} "
            f"(those are {', '.join(offered)}, or none)"
        )
    return WeightsFile(path)


def fetch_weights(config: ModelConfig) -> None:
    """Download the weights that a model needs if they are missing. The driver calls it before any worker starts.

    Raises:
        InputError: an unknown name, a missing file, or a failed download; says which file to put where.
    """
    if isinstance(config, BackboneConfig):
        check_architecture(config.architecture)
        with secrets_hidden(config.weights):
            weights = locate_weights(config)
            if weights is not None:
                _download(weights)


def _download(weights: WeightsFile) -> None:
    if weights.path.is_file() or weights.url is None:
        return
    found = re.search(r"-([a-f0-9]+)\.", weights.path.name)
    try:
        weights.path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            weights.url, str(weights.path), hash_prefix=found and found.group(1), progress=False
        )
    except (OSError, RuntimeError) as error:  # URLError is an OSError; RuntimeError: the hash does not match
        raise InputError(
            f"cannot download {weights.url} ({error}); download it elsewhere and put it at {weights.path}"
        ) from error


def load_weights(trunk: nn.Module, weights: WeightsFile, known_keys: set[str]) -> None:
    """Copy the weights into the trunk; on `meta`, only check that they fit, if the file exists.

    Args:
        trunk: may lack parts of the network that the file has.
        weights: from `locate_weights`.
        known_keys: keys of the whole network, which the file may contain in addition to the trunk's.

    Raises:
        InputError: a file that cannot be downloaded or read, or keys or shapes that do not fit.
    """
    target = trunk.state_dict()
    on_meta = next(iter(target.values())).is_meta
    if on_meta and weights.url is not None and not weights.path.is_file():
        return
    _download(weights)
    state = _shapes(weights.path, weights.path.stat().st_mtime_ns) if on_meta else read_state(weights.path)
    state = _adapted(weights, _trunk_state(state), trunk)
    _check_fit(weights.path, state, target, known_keys)
    with torch.no_grad():
        for key in target.keys() & state.keys():
            target[key].copy_(state[key])


@lru_cache(maxsize=8)
def _shapes(path: Path, changed: int) -> State:
    """Read the file once for all configurations checked against it; `changed` distinguishes versions."""
    return {key: value.to("meta") for key, value in read_state(path).items()}


def read_state(path: Path) -> State:
    """Read a state dict on the CPU; nothing in the file is executed.

    Raises:
        InputError: no file, not a state dict, or not only tensors in it.
    """
    try:
        # The device is explicit: while building on `meta`, that would be the default here.
        with torch.device("cpu"):
            if zipfile.is_zipfile(path):  # files from torch before 1.6 are not, and have no checksums
                check_archive(path)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"weights file {path} does not exist") from error
    except pickle.UnpicklingError as error:
        raise InputError(
            f"weights file {path} contains more than tensors, which could run code, or is not a torch file; "
            "save `model.state_dict()` with torch.save"
        ) from error
    except UNREADABLE_ARCHIVE as error:
        first_line = str(error).partition("\n")[0] or "it is empty or truncated"
        raise InputError(f"weights file {path} cannot be read: {first_line}") from error
    if not isinstance(content, Mapping):
        raise InputError(f"weights file {path} contains a {type(content).__name__}, not a state dict of tensors")
    for key, value in content.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(
                f"weights file {path} contains more than tensors: {key!r} is a {type(value).__name__}; "
                "save `model.state_dict()` alone"
            )
    return dict(content)


UNREADABLE_ARCHIVE = (OSError, RuntimeError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""What `check_archive` and `torch.load` raise on a truncated or overwritten file."""


def check_archive(path: Path) -> None:
    """Verify the checksums in a file of `torch.save`, which `torch.load` ignores.

    Raises:
        ValueError: a part is damaged; or another of `UNREADABLE_ARCHIVE`.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} inside it is damaged")


def _trunk_state(state: State) -> State:
    """Rename keys to torchvision's current names."""
    if any(key.startswith(_OWN_TRUNK) for key in state):
        return {key.removeprefix(_OWN_TRUNK): value for key, value in state.items() if key.startswith(_OWN_TRUNK)}
    return {_present_name(key): value for key, value in state.items()}


def _present_name(key: str) -> str:
    for pattern, replacement in _RENAMED:
        key = pattern.sub(replacement, key)
    return key


def _adapted(weights: WeightsFile, state: State, trunk: nn.Module) -> State:
    """Adapt weights to other channels, another input size, and ImageNet's input normalization."""
    state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    name, first = next((name, part) for name, part in trunk.named_modules() if isinstance(part, nn.Conv2d))
    key = f"{name}.weight"
    if weights.url is not None and isinstance(trunk, models.GoogLeNet | models.Inception3):
        _fold_input_transform(state, name)
    if first.in_channels == 1 and key in state and state[key].ndim == 4 and state[key].shape[1] == 3:
        state[key] = state[key].sum(dim=1, keepdim=True)  # same result as three equal channels
    if isinstance(trunk, models.VisionTransformer) and "encoder.pos_embedding" in state:
        try:
            state = interpolate_embeddings(trunk.image_size, trunk.patch_size, OrderedDict(state))
        except ValueError as error:
            raise InputError(f"weights file {weights.path}: position embeddings do not fit: {error}") from error
    return state


def _fold_input_transform(state: State, name: str) -> None:
    """Make weights that expect mean and deviation 0.5 accept inputs normalized with ImageNet's mean and deviation.

    torchvision rescales the input of these two networks in every forward pass. Here, the factor is folded into the
    first convolution and the offset into the mean of the batch norm after it, so that the state dict is complete. (At
    GoogLeNet's zero-padded border, three pixels wide, the offset is an approximation.)
    """
    weight_key, mean_key = f"{name}.weight", f"{name.removesuffix('conv')}bn.running_mean"
    if weight_key not in state or mean_key not in state:
        return
    device = state[weight_key].device
    scale = torch.tensor([0.229, 0.224, 0.225], device=device).reshape(1, 3, 1, 1) / 0.5
    offset = (torch.tensor([0.485, 0.456, 0.406], device=device).reshape(1, 3, 1, 1) - 0.5) / 0.5
    state[mean_key] = state[mean_key] - (state[weight_key] * offset).sum(dim=(1, 2, 3))
    state[weight_key] = state[weight_key] * scale


def _check_fit(path: Path, state: State, target: Mapping[str, torch.Tensor], known_keys: set[str]) -> None:
    missing = [key for key in target if key not in state and not key.endswith("num_batches_tracked")]
    foreign = [key for key in state if key not in known_keys and not key.startswith(_AUXILIARY)]
    shapes = [
        f"{key} is {_shape(state[key])} in the file, {_shape(target[key])} in the network"
        for key in target
        if key in state and state[key].shape != target[key].shape
    ]
    problems = [
        f"{what}: {_list(keys)}"
        for what, keys in (
            ("missing in the file", missing),
            ("not in the network", foreign),
            ("different shapes", shapes),
        )
        if keys
    ]
    if problems:
        raise InputError(f"weights file {path} does not fit the architecture; {'; '.join(problems)}")


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"


def _list(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
