import hashlib
import urllib.error
from pathlib import Path

import pytest
import torch
from torchvision import models

from trainables.config.models import BackboneConfig, CnnConfig
from trainables.errors import InputError
from trainables.models.classifier import Classifier
from trainables.models.weights import fetch_weights, locate_weights
from trainables.models.zoo import build_model


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty torch.hub folder."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def _offline(*arguments, **options):
    raise urllib.error.URLError("no network")


def _save(tmp_path, content):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    return str(path)


def _squeezenet(seed=1, classes=7):
    torch.manual_seed(seed)
    return models.squeezenet1_1(num_classes=classes).eval()


def _build(weights, shape=(3, 64, 64), **options):
    return build_model(BackboneConfig(**{"architecture": "squeezenet1_1", **options}, weights=weights), shape, 10)


def test_a_file_of_other_classes_loads_all_but_its_classifier(tmp_path):
    original = _squeezenet(classes=7)
    model = _build(_save(tmp_path, original.state_dict()))
    assert model.pretrained
    for key, value in model.trunk.state_dict().items():
        assert torch.equal(value, original.state_dict()[key])


def test_half_precision_files_become_float32(tmp_path):
    original = _squeezenet().half().state_dict()
    model = _build(_save(tmp_path, original))
    assert {value.dtype for value in model.trunk.state_dict().values()} == {torch.float32}


def test_greyscale_sums_the_first_weights(tmp_path):
    """One channel then gives what three equal channels gave."""
    path = _save(tmp_path, _squeezenet().state_dict())
    grey, colour = _build(path, (1, 64, 64)).eval(), _build(path).eval()
    colour.head.load_state_dict(grey.head.state_dict())
    images = torch.randn(2, 1, 64, 64)
    torch.testing.assert_close(grey(images), colour(images.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


def test_a_cut_network_takes_the_file_of_the_whole(tmp_path):
    assert _build(_save(tmp_path, _squeezenet().state_dict()), cut_at="block2").pretrained


def test_a_trained_classifier_of_this_program_is_a_backbone(tmp_path):
    champion = Classifier(_build("none"), [0.5] * 3, [0.5] * 3)
    model = _build(_save(tmp_path, champion.state_dict()))
    assert all(
        torch.equal(a, b) for a, b in zip(model.trunk.parameters(), champion.body.trunk.parameters(), strict=True)
    )


def test_position_embeddings_are_interpolated_to_the_image_size(tmp_path, monkeypatch):
    small = {"num_layers": 1, "num_heads": 1, "hidden_dim": 8, "mlp_dim": 8, "patch_size": 16}

    def tiny(image_size=224, **ignored):
        return models.VisionTransformer(image_size=image_size, **small)

    state = tiny(64).state_dict()
    monkeypatch.setattr("trainables.models.architectures.models.get_model", lambda name, **options: tiny(**options))
    path = _save(tmp_path, state)
    model = _build(path, (3, 32, 32), architecture="vit_b_16")
    embedding = model.trunk.encoder.pos_embedding
    assert embedding.shape == (1, 1 + 2 * 2, 8)
    assert torch.equal(embedding[:, 0], state["encoder.pos_embedding"][:, 0])  # the class token has no place to move


@pytest.mark.parametrize("device", ["cpu", "meta"])
class TestFilesThatDoNotFit:
    """Found while building, on `meta` too, and so before a worker starts."""

    def test_other_keys(self, tmp_path, device):
        state = _squeezenet().state_dict()
        state["surplus.weight"] = state.pop("features.0.bias")
        with torch.device(device), pytest.raises(InputError) as caught:
            _build(_save(tmp_path, state))
        assert "missing in the file: features.0.bias" in str(caught.value)
        assert "not in the network: surplus.weight" in str(caught.value)

    def test_other_shapes(self, tmp_path, device):
        state = _squeezenet().state_dict()
        state["features.0.bias"] = torch.zeros(3)
        expected = "different shapes: features.0.bias is 3 in the file, 64 in the network"
        with torch.device(device), pytest.raises(InputError, match=expected):
            _build(_save(tmp_path, state))

    def test_another_architecture_is_summed_up(self, tmp_path, device):
        path = _save(tmp_path, _squeezenet().state_dict())
        with torch.device(device), pytest.raises(InputError, match=r"conv1.weight, bn1.weight.* and \d+ more"):
            _build(path, architecture="resnet18")

    def test_more_than_tensors(self, tmp_path, device):
        path = _save(tmp_path, {"model": _squeezenet(), "epoch": 3})
        with torch.device(device), pytest.raises(InputError, match="contains more than tensors, which could run code"):
            _build(path)

    def test_tensors_beside_other_things(self, tmp_path, device):
        path = _save(tmp_path, {"epoch": 3, **_squeezenet().state_dict()})
        with torch.device(device), pytest.raises(InputError, match="contains more than tensors: 'epoch' is a int"):
            _build(path)

    def test_no_state_dict(self, tmp_path, device):
        path = _save(tmp_path, torch.zeros(3))
        with torch.device(device), pytest.raises(InputError, match="contains a Tensor, not a state dict"):
            _build(path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "it is empty or truncated"),
            (b"nothing that torch wrote", "is not a torch file"),
            (b"PK\x03\x04 a broken archive", "cannot be read: PytorchStreamReader"),
        ],
    )
    def test_no_torch_file(self, tmp_path, device, content, message):
        path = tmp_path / "weights.pth"
        path.write_bytes(content)
        with torch.device(device), pytest.raises(InputError, match=message):
            _build(str(path))

    def test_no_file(self, device):
        with (
            torch.device(device),
            pytest.raises(InputError, match=r"neither a file nor .*IMAGENET1K_V1, DEFAULT, or none"),
        ):
            _build("missing.pth")

    def test_a_registered_model_must_be_resolved_first(self, device):
        with torch.device(device), pytest.raises(InputError, match="models:/inat@champion is a registered model"):
            _build("models:/inat@champion")


def test_a_download_that_fails_says_which_file_to_put_where(hub, monkeypatch):
    monkeypatch.setattr(torch.hub, "download_url_to_file", _offline)
    with pytest.raises(InputError) as caught:
        fetch_weights(BackboneConfig(weights="IMAGENET1K_V1"))
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in str(caught.value)
    assert f"put it at {hub / 'resnet18-f37072fd.pth'}" in str(caught.value)


def test_weights_that_are_there_are_not_downloaded(hub, monkeypatch):
    monkeypatch.setattr(torch.hub, "download_url_to_file", _offline)
    config = BackboneConfig(architecture="squeezenet1_1", weights="DEFAULT")
    path = locate_weights(config).path
    assert path.parent == hub
    torch.save(_squeezenet(classes=1000).state_dict(), path)
    fetch_weights(config)
    assert build_model(config, (3, 64, 64), 10).pretrained


def test_a_download_is_checked_against_its_hash(hub, monkeypatch):
    def download(url, path, hash_prefix, progress):
        content = b"not the weights"
        assert not progress
        if not hashlib.sha256(content).hexdigest().startswith(hash_prefix):
            raise RuntimeError(f'invalid hash value (expected "{hash_prefix}")')

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(InputError, match=r'invalid hash value .*"f37072fd"'):
        fetch_weights(BackboneConfig(weights="IMAGENET1K_V1"))


def test_on_meta_weights_not_yet_downloaded_are_no_error(hub):
    with torch.device("meta"):
        assert _build("DEFAULT").pretrained


def test_models_without_weights_need_nothing():
    fetch_weights(CnnConfig())
    fetch_weights(BackboneConfig())


def test_old_names_of_densenet_are_understood(tmp_path):
    state = models.densenet121(num_classes=3).state_dict()
    old = {key.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): value for key, value in state.items()}
    assert set(old) != set(state)
    assert _build(_save(tmp_path, old), architecture="densenet121").pretrained


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_the_input_transform_is_folded_into_the_weights(hub, name):
    """torchvision rescales these networks' input; with `DEFAULT` weights ours does the same without the extra step."""
    config = BackboneConfig(architecture=name, weights="DEFAULT")
    torch.manual_seed(0)
    options = {"aux_logits": True, "transform_input": True, "init_weights": True}
    original = models.get_model(name, weights=None, **options).eval()
    torch.save(original.state_dict(), locate_weights(config).path)
    with torch.device("meta"):
        build_model(config, (3, 96, 96), 10)
    model = build_model(config, (3, 96, 96), 10).eval()
    images = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        first = next(iter(original.children()))
        expected = first(original._transform_input(images))
        found = next(iter(model.trunk.children()))(images)
    inner = slice(2, -2)  # GoogLeNet pads with zeros, which the transform would have moved
    torch.testing.assert_close(found[:, :, inner, inner], expected[:, :, inner, inner], rtol=1e-4, atol=1e-4)


@pytest.mark.real_data
def test_real_weights_of_200_classes_load(packed_data):
    weights = str(packed_data / "resnet18_tin200_32px.pth")
    model = _build(weights, (3, 32, 32), architecture="resnet18", freeze_depth="all")
    reference = models.resnet18(num_classes=200)
    reference.load_state_dict(torch.load(weights, weights_only=True))
    reference.fc = model.head
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model.eval()(images), reference.eval()(images))
    with torch.device("meta"), pytest.raises(InputError, match="does not fit"):
        _build(weights, (3, 32, 32), architecture="resnet34")


def test_a_flipped_bit_in_a_file_of_weights_is_noticed(tmp_path):
    network = _squeezenet()
    path = Path(_save(tmp_path, network.state_dict()))
    content = bytearray(path.read_bytes())
    content[content.index(network.features[0].weight.detach().numpy().tobytes())] ^= 1
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # says nothing
    with pytest.raises(InputError, match=r"weights\.pth cannot be read: .* is damaged"):
        _build(str(path))
