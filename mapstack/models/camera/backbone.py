"""Image backbones from timm, with weights from a local file."""

from pathlib import Path

from torch import Tensor, nn

from mapstack.errors import ConfigError, DataError
from mapstack.registry import MODELS

__all__ = ["TimmBackbone"]


@MODELS.register_module()
class TimmBackbone(nn.Module):
    """Any timm model that offers ``features_only``.

    Args:
        name: timm model name, for instance ``resnet18``.
        out_indices: which of the model's stages to return, shallow first.
        checkpoint: local weights file in timm's own key style, loaded without unpickling code; None trains
            from scratch. Nothing is downloaded.
        kwargs: passed to the timm model, for instance ``channels`` to make a narrower ResNet.
    """

    def __init__(
        self,
        name: str,
        out_indices: tuple[int, ...] = (2, 3),
        checkpoint: str | None = None,
        kwargs: dict | None = None,
    ) -> None:
        import timm  # takes a second, and LiDAR-only models never need it

        super().__init__()
        if name not in timm.list_models():
            raise ConfigError(f"timm has no model {name!r}; see timm.list_models()")
        self.body = timm.create_model(
            name, pretrained=False, features_only=True, out_indices=tuple(out_indices), **(kwargs or {})
        )
        self.out_channels: list[int] = self.body.feature_info.channels()
        self.out_strides: list[int] = self.body.feature_info.reduction()
        if checkpoint is not None:
            self._load(Path(checkpoint))

    def _load(self, path: Path) -> None:
        from timm.models import load_state_dict

        if not path.is_file():
            raise DataError(f"{path}: no such weights file; set checkpoint=None to train from scratch")
        missing, _ = self.body.load_state_dict(load_state_dict(str(path), weights_only=True), strict=False)
        if missing:
            raise DataError(f"{path}: lacks {len(missing)} weights of {type(self.body).__name__}, first {missing[0]}")

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W) to one feature map per stage of ``out_indices``, shallow first."""
        return list(self.body(images))
