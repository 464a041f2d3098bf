"""MapTRv2 (IJCV 2024): learned hierarchical queries, decoupled attention, a one-to-many branch.

The same queries can speak by SuperMapNet's interaction instead, so that the two compare on equal terms.
"""

from functools import partial

from torch import Tensor, nn

from mapstack.registry import MODELS

from .deformable import BEVDeformableAttention
from .interaction import InteractionLayer
from .layers import DecoupledLayer, Tokens
from .refining import RefiningDecoder

__all__ = ["MapTRv2Decoder"]


class _Interaction(InteractionLayer):
    """The interaction with the interface of :class:`DecoupledLayer`: both kinds look around the points."""

    def forward(
        self, tokens: Tokens, position: Tensor, reference: Tensor, value: Tensor, blocked: Tensor | None
    ) -> tuple[Tokens, Tokens]:
        """See :meth:`DecoupledLayer.forward`; an element looks around the mean of its points."""
        where = (reference, reference.mean(2, keepdim=True))
        return super().forward(tokens, position, where, value, blocked)


@MODELS.register_module()
class MapTRv2Decoder(RefiningDecoder):
    """Polylines from BEV features as in MapTRv2, sections 3.3 to 3.5.

    Against the released model: layers are pre-norm, losses are in metres (so x and y count alike), and reference
    points are refined in metres. Depth is supervised in the camera encoder; BEV and perspective segmentation are the
    Mapper's ``segmentation`` and ``perspective``.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the BEV cells decoded from.
        in_channels: C of the BEV features.
        num_classes: K.
        proposals: False learns the queries, as published; True begins at BEV proposals.
        field: see :class:`RefiningDecoder`.
        interaction: ``levels``, ``feed_back`` and ``own_points`` of :class:`InteractionLayer`, in place of the
            decoupled attention; None keeps that.
        options: of :class:`RefiningDecoder`.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        in_channels: int,
        num_classes: int,
        proposals: bool = False,
        field: bool = False,
        interaction: dict | None = None,
        **options: object,
    ) -> None:
        self._interaction = interaction  # before the layers are made
        super().__init__(grid, cell_m, in_channels, num_classes, proposals=proposals, field=field, **options)

    def make_layer(self) -> nn.Module:
        """Decoupled attention, or three levels of interaction."""
        if self._interaction is None:
            return DecoupledLayer(self.grid, self.embed_dims, self.num_heads, self.num_samples)
        look = partial(BEVDeformableAttention, self.grid, self.embed_dims, self.num_heads, self.num_samples)
        return _Interaction(self.embed_dims, self.num_heads, look, **self._interaction)
