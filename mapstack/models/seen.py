"""What a mapper's decoder is shown of a batch."""

from dataclasses import dataclass, field

from torch import Tensor

from mapstack.models.pose.correction import CorrectionOutput
from mapstack.models.priors.parts import PriorOutput
from mapstack.models.priors.queries import PriorQueries
from mapstack.structures import PriorBatch

__all__ = ["Seen"]


@dataclass(frozen=True)
class Seen:
    """An encoded batch and what its priors add.

    Args:
        bev: (B, C, rows, cols) for the decoder.
        vectors: the priors; None where the model or the batch has none.
        outputs: what each part of the prior made.
        queries: for the decoder; None without.
        correction: what was found of the error of the pose that placed the priors; None where nobody looked.
    """

    bev: Tensor
    vectors: PriorBatch | None = None
    outputs: dict[str, PriorOutput] = field(default_factory=dict)
    queries: PriorQueries | None = None
    correction: CorrectionOutput | None = None

    def for_decoder(self, rows: list[int] | None = None) -> tuple[Tensor, dict[str, PriorQueries]]:
        """The map, and the decoder's further arguments, of some frames or of all."""
        bev = self.bev if rows is None else self.bev[rows]
        if self.queries is None:
            return bev, {}
        return bev, {"prior": self.queries if rows is None else self.queries.rows(rows)}
