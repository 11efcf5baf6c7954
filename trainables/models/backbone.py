"""torchvision's classification networks with a new head."""

from torch import nn

from trainables.config.models import BackboneConfig
from trainables.errors import InfeasibleError
from trainables.models.layers import MapShape


class Backbone(nn.Module):
    """A trunk, frozen as told, and a head."""

    trunk: nn.Module
    head: nn.Module
    pretrained: bool


def build_backbone(config: BackboneConfig, image_shape: MapShape, classes: int) -> nn.Module:
    """Build the backbone."""
    raise InfeasibleError("backbones are being built")
