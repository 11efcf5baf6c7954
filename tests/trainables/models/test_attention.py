import torch

from trainables.config.models import AttentionCnnConfig
from trainables.models.attention import AttentionBlock, build_attention_cnn


def test_a_block_is_the_formula_written_out():
    block = AttentionBlock(3, 5, 2, "relu")
    images = torch.randn(4, 3, 6, 6)
    with torch.no_grad():
        scores = images.mean(dim=(2, 3)) @ block.attention.weight.T + block.attention.bias
        share = torch.exp(scores) / torch.exp(scores).sum(dim=1, keepdim=True)
        first, second = (convolution(images) for convolution in block.convolutions)
        expected = share[:, 0, None, None, None] * first + share[:, 1, None, None, None] * second
        torch.testing.assert_close(block(images), expected.clamp(min=0))


def test_without_activation_a_block_can_be_negative():
    block = AttentionBlock(3, 5, 2, "none")
    assert block(torch.randn(4, 3, 6, 6)).min() < 0


def test_the_network_takes_any_image_size():
    config = AttentionCnnConfig(widths=(4, 6), dense=(16, 8), dropout=0.5, pool="average")
    model = build_attention_cnn(config, (1, 5, 5), 10)
    assert model(torch.rand(2, 1, 5, 5)).shape == (2, 10)
    assert [layer.p for layer in model if isinstance(layer, torch.nn.Dropout)] == [0.5, 0.5]


def test_blocks_stay_in_bf16_under_autocast():
    block = AttentionBlock(3, 5, 3, "relu")
    with torch.autocast("cpu", torch.bfloat16):
        assert block(torch.randn(2, 3, 6, 6)).dtype == torch.bfloat16
