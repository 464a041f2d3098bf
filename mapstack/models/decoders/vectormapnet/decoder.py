"""VectorMapNet (ICML 2023): detect map elements by keypoints, then write each polyline vertex by vertex."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mapstack.errors import ConfigError, ExportError
from mapstack.geometry import BEVGrid
from mapstack.models.decoders.attraction import AttractionField
from mapstack.models.matching import Assignment, batch_targets
from mapstack.registry import MODELS, TASK_UTILS
from mapstack.structures import MapElements

from .codec import VertexCodec
from .detector import ElementDetector, Elements
from .generation import Sampler, generate
from .generator import PolylineGenerator
from .keypoints import KEYPOINTS
from .noise import jitter_tokens
from .resample import resample_padded
from .targets import ElementTargets, element_targets

__all__ = ["VectorMapNetDecoder"]

CONDITIONS = ("truth", "detections")
ABSENT = -30.0  # logit of the classes that a line was not written for


@MODELS.register_module()
class VectorMapNetDecoder(nn.Module):
    """Polylines of any length from BEV features.

    Detector and generator train together. In the first stage the generator is given the true keypoints, in the
    fine-tuning stage (``condition_on="detections"``) the ones that the detector found, noise and all, because it is
    those that it gets at inference.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the BEV cells decoded from.
        in_channels: C of the BEV features.
        num_classes: K.
        num_points: P of the resampled output, for whoever wants a tensor; the vertices are kept beside it.
        num_queries: elements detected per frame.
        num_lines: L polylines written per frame, for the best (query, class) pairs.
        embed_dims: width of both halves.
        detector_layers: of the detector.
        generator_layers: of the generator.
        num_heads: attention heads.
        num_samples: BEV samples of the detector per head and keypoint.
        propose: take the element queries from BEV cells instead of learning them.
        keypoints: ``bounding_box`` or ``start_middle_end``.
        token_m: distance of neighbouring vertex tokens.
        max_vertices: V.
        context: how the generator looks at the BEV; ``LocalContext`` by default.
        dropout: of the generator.
        noise_prob: share of the generator's given tokens that are jittered in training.
        condition_on: ``truth`` or ``detections``: whose keypoints the generator is trained on.
        truth_share: with ``detections``, the share of elements that keep their true keypoints.
        length_weighted: labels whose vertices count by the length of their edges; the paper's are boundaries.
        top_p: nucleus to draw tokens from; None takes the likeliest, which is what to export.
        seed: of the draws.
        matcher: built from TASK_UTILS; ``KeypointMatcher`` by default.
        loss_weights: weights of ``class``, ``keypoint``, ``vertex``, ``heat``, ``proposal``, ``field``.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        in_channels: int,
        num_classes: int,
        num_points: int = 20,
        num_queries: int = 50,
        num_lines: int = 35,
        embed_dims: int = 96,
        detector_layers: int = 2,
        generator_layers: int = 3,
        num_heads: int = 4,
        num_samples: int = 4,
        propose: bool = True,
        keypoints: str = "bounding_box",
        token_m: float = 0.3,
        max_vertices: int = 30,
        context: dict | None = None,
        dropout: float = 0.0,
        noise_prob: float = 0.3,
        condition_on: str = "truth",
        truth_share: float = 0.2,
        length_weighted: tuple[int, ...] = (),
        top_p: float | None = None,
        seed: int = 0,
        matcher: dict | None = None,
        loss_weights: dict[str, float] | None = None,
    ) -> None:
        super().__init__()
        if keypoints not in KEYPOINTS or condition_on not in CONDITIONS:
            raise ConfigError(
                f"keypoints {keypoints!r} must be one of {', '.join(KEYPOINTS)}, condition_on {condition_on!r} one of "
                f"{', '.join(CONDITIONS)}"
            )
        self.grid = BEVGrid(**grid).with_cell(cell_m)
        self.num_classes, self.num_points = num_classes, num_points
        self.num_lines = min(num_lines, num_queries * num_classes)
        self.max_vertices, self.length_weighted = max_vertices, frozenset(length_weighted)
        self.noise_prob, self.condition_on, self.truth_share = noise_prob, condition_on, truth_share
        self.form, self.codec = KEYPOINTS[keypoints](), VertexCodec(self.grid, token_m)
        self.field = AttractionField(self.grid, in_channels, num_classes)
        self.values = nn.ModuleList(nn.Conv2d(in_channels + 2 * num_classes, embed_dims, 1) for _ in range(2))
        self.detector = ElementDetector(
            self.grid, in_channels, num_classes, self.form.num_points, num_queries, embed_dims, detector_layers,
            num_heads, num_samples, propose,
        )  # fmt: skip
        self.generator = PolylineGenerator(
            self.codec, self.form, self.grid, num_classes, embed_dims, generator_layers, num_heads, max_vertices,
            context or {"type": "LocalContext"}, dropout,
        )  # fmt: skip
        self.sampler = Sampler() if top_p is None else Sampler.seeded(seed, self.num_lines, max_vertices, top_p)
        self.matcher = TASK_UTILS.build(matcher or {"type": "KeypointMatcher"})
        weights = {"class": 2.0, "keypoint": 1.0, "vertex": 1.0, "heat": 1.0, "proposal": 0.5, "field": 2.0}
        self.loss_weights = weights | (loss_weights or {})

    @property
    def output_names(self) -> tuple[str, ...]:
        """What :meth:`forward` returns, in the order in which it is exported."""
        return "logits", "points", "scales", "vertices", "counts"

    def _values(self, bev: Tensor, field: Tensor) -> list[Tensor]:
        """(B, E, rows, cols) for the detector and for the generator; the field learns from its own loss alone."""
        seen = torch.cat([bev, field.detach() / self.field.radius_m], 1)
        return [value(seen) for value in self.values]

    def forward(self, bev: Tensor) -> dict[str, Tensor]:
        """Decode (B, C, rows, cols).

        Returns:
            ``logits`` (B, L, K), all but one class of each line as good as impossible; ``points`` (B, L, P, 2) ego
            metres at equal arc length and their ``scales`` (B, L, P, 2) in metres; ``vertices`` (B, L, V, 2) ego metres
            as they were written, and how many of them, ``counts`` (B, L).
        """
        if torch.onnx.is_in_onnx_export() and self.sampler.uniforms is not None:
            raise ExportError("VectorMapNetDecoder draws tokens, which is not exported; set its top_p to None")
        to_detect, to_write = self._values(bev, self.field(bev))
        elements = self.detector(bev, to_detect)[0][-1]
        logits, index = elements.logits.flatten(1).topk(self.num_lines, dim=1)
        query, labels = index // self.num_classes, index % self.num_classes
        keypoints = elements.keypoints.gather(1, query[..., None, None].expand(-1, -1, self.form.num_points, 2))
        tokens = self.codec.encode(self.form.tidy(keypoints))
        lines = generate(self.generator, self.generator.remember(to_write), labels, tokens, self.sampler)
        even = resample_padded(torch.cat([lines.vertices, lines.scales], -1), lines.counts, self.num_points)
        chosen = F.one_hot(labels, self.num_classes).bool()
        return {
            "logits": torch.where(chosen, logits[..., None], ABSENT),
            "points": even[..., :2],
            "scales": even[..., 2:],
            "vertices": lines.vertices,
            "counts": lines.counts,
        }

    def loss(self, bev: Tensor, truth: list[MapElements]) -> dict[str, Tensor]:
        """Losses of (B, C, rows, cols) against B frames of truth; frames without an element train too."""
        target = element_targets(truth, self.codec, self.form, self.max_vertices, self.length_weighted, bev.device)
        field = self.field(bev)
        to_detect, to_write = self._values(bev, field)
        outputs, proposals = self.detector(bev, to_detect)
        losses = {"loss_field": self.field.loss(field, batch_targets(truth, bev.device))}
        if proposals is not None:
            losses |= self.detector.proposals.loss(proposals, target.keypoints)
        for i, elements in enumerate(outputs):
            match = self.matcher(elements.logits, elements.keypoints, target.keypoints)
            layer = self.detector.loss(elements, match, target.keypoints)
            losses |= {f"loss_{name}_{i}": value for name, value in layer.items()}
        losses["loss_vertex"] = self._vertex_loss(to_write, target, outputs[-1], match)
        return {key: self.loss_weights[key.split("_")[1]] * value for key, value in losses.items()}

    def _vertex_loss(self, value: Tensor, target: ElementTargets, found: Elements, match: Assignment) -> Tensor:
        """Cross-entropy of every vertex token, averaged over each element's tokens and over the elements."""
        if target.tokens.shape[1] == 0:
            return 0 * value.sum()
        keypoints = target.keypoints.points[:, :, 0]
        if self.condition_on == "detections":
            noisy = keypoints.clone()
            noisy[match.frame, match.element] = self.form.tidy(found.keypoints.detach()[match.frame, match.query])
            spared = torch.rand(keypoints.shape[:2], device=value.device) < self.truth_share
            keypoints = torch.where(spared[..., None, None], keypoints, noisy)
        given, before = self.codec.encode(keypoints), target.tokens[..., :-1]
        if self.training:
            given = jitter_tokens(given, self.codec, self.noise_prob)
            before = jitter_tokens(before.unflatten(2, (-1, 2)), self.codec, self.noise_prob).flatten(2)
        logits = self.generator(target.keypoints.labels, given, before, self.generator.remember(value))
        cost = F.cross_entropy(logits.flatten(0, 2), target.tokens.flatten(), reduction="none")
        weights = target.weights.flatten()
        # What stands on padding may be impossible there, and its cost huge; it must not reach the sum.
        return torch.where(weights > 0, cost * weights, 0).sum() / target.keypoints.num_elements

    def predict(self, output: dict[str, Tensor]) -> list[MapElements]:
        """The L lines of each frame, best first, with their vertices; all lie inside the patch."""
        scores, labels = output["logits"].sigmoid().max(-1)
        counts, vertices = output["counts"].tolist(), output["vertices"].detach().cpu().double().numpy()
        return [
            MapElements(
                points=output["points"][frame],
                labels=labels[frame],
                scores=scores[frame],
                scales=output["scales"][frame],
                vertices=[line[:count] for line, count in zip(vertices[frame], counts[frame], strict=True)],
            )
            for frame in range(len(scores))
        ]
