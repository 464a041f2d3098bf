"""Image backbones from timm, with weights from a local file."""

from torch import Tensor, nn

from mapstack.errors import ConfigError
from mapstack.registry import MODELS

from .pretrained import find_weights, fit_weights, read_weights

__all__ = ["TimmBackbone"]


@MODELS.register_module()
class TimmBackbone(nn.Module):
    """Any timm model that offers ``features_only``.

    Args:
        name: timm model name, for instance ``resnet18``.
        out_indices: which of the model's stages to return, shallow first; deeper ones are cut off.
        checkpoint: local weights file, or ``package:NAME/FILE``; read without unpickling code. None trains from
            scratch. Nothing is downloaded. See :mod:`mapstack.models.camera.pretrained` for the names understood.
        kwargs: passed to the timm model, for instance ``channels`` to make a narrower ResNet, or ``img_size`` (H, W)
            for a Swin Transformer.
        frozen: modules of the timm model whose weights and statistics stay as they are, for instance ``conv_stem``,
            ``blocks.0``; where they are the first ones, no gradient is computed through them.
    """

    def __init__(
        self,
        name: str,
        out_indices: tuple[int, ...] = (2, 3),
        checkpoint: str | None = None,
        kwargs: dict | None = None,
        frozen: tuple[str, ...] = (),
    ) -> None:
        import timm  # takes a second, and LiDAR-only models never need it

        super().__init__()
        if name not in timm.list_models():
            raise ConfigError(f"timm has no model {name!r}; see timm.list_models()")
        self.body = timm.create_model(
            name, pretrained=False, features_only=True, out_indices=tuple(out_indices), **(kwargs or {})
        )
        _cut_off(self.body)
        self.out_channels: list[int] = self.body.feature_info.channels()
        self.out_strides: list[int] = self.body.feature_info.reduction()
        self.channels_last = getattr(self.body, "output_fmt", "NCHW") == "NHWC"  # what Swin returns
        if checkpoint is not None:
            path = find_weights(checkpoint)
            self.body.load_state_dict(fit_weights(read_weights(path), self.body.state_dict(), path))
        modules = dict(self.body.named_modules())
        unknown = [part for part in frozen if part not in modules]
        if unknown:
            raise ConfigError(f"{name} has no module {unknown[0]!r} to freeze; it has {', '.join(_top(modules))}")
        self.frozen = tuple(frozen)
        for part in self.frozen:
            modules[part].requires_grad_(False)

    def train(self, mode: bool = True) -> "TimmBackbone":
        """As PyTorch has it, but the statistics of frozen modules stay."""
        super().train(mode)
        for part in self.frozen:
            self.body.get_submodule(part).eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W) to one feature map per stage of ``out_indices``, shallow first."""
        maps = self.body(images)
        return [level.permute(0, 3, 1, 2) for level in maps] if self.channels_last else list(maps)


def _cut_off(body: nn.Module) -> None:
    """Drop stages that nothing is read from: timm leaves them in its EfficientNets, run and without a gradient."""
    last = body.feature_info.get_dicts()[-1]["module"]
    if last.startswith("blocks.") and isinstance(body.blocks, nn.Sequential):
        body.blocks = body.blocks[: int(last.split(".")[1]) + 1]


def _top(modules: dict[str, nn.Module]) -> list[str]:
    """Names of modules at most two deep."""
    return [name for name in modules if name and name.count(".") < 2]
