"""The model: sensors to BEV, fused, remembered, encoded, decoded into polylines. Every part is configuration."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mapstack.errors import ConfigError, DataError
from mapstack.geometry import BEVGrid
from mapstack.models.building import build_part
from mapstack.models.priors.batch import exported_priors, priors_of
from mapstack.models.seen import Seen
from mapstack.models.temporal import Past, StreamPlan, StreamState
from mapstack.registry import MODELS
from mapstack.structures import MapDataSample

__all__ = ["Mapper"]

CAMERA_INPUTS = ("images", "intrinsics", "ego_from_camera", "camera_valid")
SENSOR_INPUT = {"camera": "images", "lidar": "points"}


@MODELS.register_module()
class Mapper(BaseModel):
    """Builds a vector map from one frame, or from a stream of them.

    What the parts share is stated once: ``grid``, ``cell_m``, ``num_classes``, and the channels that one part
    hands to the next, are passed to every part that takes an argument of that name and does not set its own.

    A sensor that a frame lacks (a camera marked invalid, no LiDAR point) counts as a BEV map of zeros. Time is
    described in docs/STREAMING.md: no state stays on the module.

    Args:
        grid: keyword arguments of the task's :class:`BEVGrid`.
        cell_m: edge of the BEV cells that the sensors are encoded into.
        num_classes: K.
        decoder: BEV to polylines; has ``loss(bev, truth)`` and ``predict(output)``. One that sets ``streams = True``
            also has ``initial_memory(bev)``, takes ``past`` in ``loss`` and ``forward``, and returns what it remembers.
        camera: images to BEV; None for LiDAR only.
        lidar: points to BEV; None for cameras only.
        fusion: joins the BEV maps of several sensors; used when there are two.
        temporal: carries the fused BEV map from frame to frame; None looks at each frame alone.
        bev_encoder: works on the fused BEV map; None hands it to the decoder as it is.
        prior: shows prior maps to the encoded BEV map and the decoder; see docs/PRIOR_ENCODERS.md. A batch without
            priors goes the way that a model without this part has.
        correction: moves the priors to where the sensors see them; see docs/POSE.md. Needs ``prior``.
        segmentation: auxiliary head on the encoded BEV; needs ``bev_mask`` in the samples.
        perspective: auxiliary head on the camera encoder's ``image_feats``.
        max_gap_s: frames of a scene that lie further apart do not continue each other.
        frozen: parts by their names as modules (``encoders``, ``encoders.camera``, ``fusion`` ...) that training leaves
            as they were loaded, weights and running statistics; no gradient is worked out for them.
        data_preprocessor: batches what the dataset packed.
        init_cfg: as in MMEngine.
    """

    def __init__(
        self,
        grid: dict,
        cell_m: float,
        num_classes: int,
        decoder: dict,
        camera: dict | None = None,
        lidar: dict | None = None,
        fusion: dict | None = None,
        temporal: dict | None = None,
        bev_encoder: dict | None = None,
        prior: dict | None = None,
        correction: dict | None = None,
        segmentation: dict | None = None,
        perspective: dict | None = None,
        max_gap_s: float = 1.5,
        frozen: Sequence[str] = (),
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or {"type": "MapDataPreprocessor"}), init_cfg)
        shared = {"grid": grid, "cell_m": cell_m, "num_classes": num_classes}
        sensors = {name: part for name, part in (("camera", camera), ("lidar", lidar)) if part is not None}
        if not sensors:
            raise ConfigError("Mapper needs a camera or a lidar encoder, and has neither")
        if len(sensors) > 1 and fusion is None:
            raise ConfigError("Mapper has a camera and a lidar encoder and needs a fusion of the two")
        self.encoders = nn.ModuleDict({name: build_part(part, shared) for name, part in sensors.items()})
        widths = tuple(encoder.out_channels for encoder in self.encoders.values())
        self.fusion = build_part(fusion, shared | {"in_channels": widths}) if len(sensors) > 1 else None
        width = self.fusion.out_channels if self.fusion is not None else widths[0]
        self.temporal = build_part(temporal, shared | {"in_channels": width}) if temporal else None
        self.bev_encoder = build_part(bev_encoder, shared | {"in_channels": width}) if bev_encoder else nn.Identity()
        shared["in_channels"] = self.bev_encoder.out_channels if bev_encoder else width
        self.segmentation = build_part(segmentation, shared) if segmentation else None
        if perspective and camera is None:
            raise ConfigError("Mapper has a perspective head and no camera encoder to put it on")
        self.perspective = build_part(perspective, shared) if perspective else None
        self.decoder = build_part(decoder, shared)
        if getattr(self.decoder, "takes_priors", False):
            shared["decoder_dims"] = self.decoder.embed_dims
        self.prior = build_part(prior, shared) if prior else None
        if correction and prior is None:
            raise ConfigError("Mapper has a correction of priors and no prior part to use them; set prior")
        self.correction = build_part(correction, shared) if correction else None
        self.bev_shape, self.max_gap_s = BEVGrid(**grid).with_cell(cell_m).shape, max_gap_s
        self.to(memory_format=torch.channels_last)  # a third faster on CPUs, and what tensor cores want
        self.frozen = tuple(frozen)
        for name in self.frozen:
            try:
                self.get_submodule(name).requires_grad_(False)
            except AttributeError as error:
                parts = ", ".join(name for name, _ in self.named_children())
                raise ConfigError(f"Mapper cannot freeze {name!r}: it has no such part, only {parts}") from error

    def train(self, mode: bool = True) -> "Mapper":
        """As torch; what is frozen stays in evaluation, so that its running statistics hold, too."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    @property
    def streams(self) -> bool:
        """Whether a frame's result depends on the frames before it."""
        return self.temporal is not None or self._decoder_streams

    @property
    def _decoder_streams(self) -> bool:
        return getattr(self.decoder, "streams", False)

    def encode(self, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
        """Fused BEV features of each frame alone (B, C, rows, cols), and each encoder's auxiliary output."""
        maps, aux = [], {}
        for name, encoder in self.encoders.items():
            if SENSOR_INPUT[name] in inputs:
                bev, aux[name] = encoder(inputs)
                maps.append(bev if self.fusion is None else self._where_present(name, bev, inputs))
            elif self.training or len(inputs.keys() & set(SENSOR_INPUT.values())) == 0:
                raise DataError(
                    f"the model has a {name} encoder but the frame has no {SENSOR_INPUT[name]!r}; see its pipeline"
                )
            else:
                like = next(iter(self.parameters()))
                maps.append(like.new_zeros(inputs["batch_size"], encoder.out_channels, *self.bev_shape))
        if self.fusion is None:
            return maps[0], aux
        fused, aux["fusion"] = self.fusion(maps)
        return fused, aux

    @staticmethod
    def _where_present(name: str, bev: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        present = inputs["camera_valid"].any(1) if name == "camera" else inputs["lidar_valid"]
        return torch.where(present[:, None, None, None], bev, torch.zeros_like(bev))

    def forward(
        self, inputs: dict[str, Tensor], data_samples: list[MapDataSample] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[MapDataSample]:
        """Run one batch: each frame without a past, but for ``loss``, where frames that follow each other are a clip.

        Args:
            inputs: what :class:`MapDataPreprocessor` returns.
            data_samples: B samples; with ``gt`` for the loss.
            mode: ``loss`` returns a dictionary of losses, ``predict`` the samples with ``pred`` set, ``tensor``
                ``scores`` (B, Q, K), ``points`` (B, Q, P, 2 or 3) ego metres and the decoder's further outputs.
        """
        features, aux = self.encode(inputs)
        if mode == "loss":
            return self._loss(features, aux, inputs, data_samples)
        output, _, seen = self._single_step(features, Past.none(self._initial_memory(features), features), inputs)
        if mode == "tensor":
            extra = zip(self.export_extra_names, self._extra_outputs(output, seen), strict=False)
            return {"scores": output["logits"].sigmoid(), "points": output["points"], **dict(extra)}
        if mode != "predict":
            raise ValueError(f"mode must be loss, predict or tensor, got {mode!r}")
        if self.fusion is not None:
            for name, values in self.fusion.measured(aux["fusion"], inputs).items():
                for sample, value in zip(data_samples, values, strict=True):
                    sample.set_field(value, name)
        return self._with_predictions(data_samples, output, seen)

    def stream(self, data: dict, state: StreamState | None) -> tuple[list[MapDataSample], StreamState]:
        """Predict a batch of frames that may continue those of ``state``, or each other.

        Args:
            data: what the data loader gives.
            state: returned for the batch before; None at the beginning. Which of its rows a frame continues, if any,
                is told by the samples' scenes and times: a scene's first frame starts anew.
        """
        data = self.data_preprocessor(data, False)
        samples = data["data_samples"]
        features, _ = self.encode(data["inputs"])
        plan = StreamPlan(samples, state, self.max_gap_s)
        features, memory = self._remember(features, plan)
        seen = self._see_priors(self.bev_encoder(features), data["inputs"])
        if self._decoder_streams:
            steps, own = plan.unroll(
                self.decoder.initial_memory(seen.bev), lambda rows, past: self._decode(seen, past, rows)
            )
            output = {key: plan.in_batch_order([step[key] for step in steps]) for key in steps[0]}
            memory |= own
        else:
            output, _ = self._decode(seen, None)
        return self._with_predictions(samples, output, seen), plan.state(memory)

    def _remember(self, features: Tensor, plan: StreamPlan) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the recurrent BEV over a batch; what its last frames leave."""
        if self.temporal is None:
            return features, {}
        outputs, memory = plan.unroll(
            self.temporal.initial_memory(features), lambda rows, past: self.temporal(features[rows], past)
        )
        return plan.in_batch_order(outputs), memory

    def _see_priors(self, bev: Tensor, inputs: dict[str, Tensor], samples: list[MapDataSample] | None = None) -> Seen:
        """Show the priors of the batch, if there are any, to the encoded map (B, C, rows, cols).

        In training ``samples`` tell a correction where the priors truly lie.
        """
        vectors = None if self.prior is None else priors_of(inputs)
        if vectors is None:
            if self.prior is not None and self.training:
                raise DataError(
                    "the model has a prior part and the frames have no 'prior'; add LoadPriors to the pipeline"
                )
            return Seen(bev)
        found = None
        if self.correction is not None:
            true = None if samples is None else self.correction.true_poses(samples, bev)
            found = self.correction(bev, vectors, true)
            vectors = self.correction.placed(vectors, found, true)
        vectors = self.prior.noise(vectors)
        outputs = self.prior(bev, vectors)
        return Seen(list(outputs.values())[-1].bev, vectors, outputs, self.prior.queries(outputs), found)

    def _decode(
        self, seen: Seen, past: Past | None, rows: list[int] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The decoder's output for encoded frames, all or those of ``rows``, and what it remembers."""
        bev, priors = seen.for_decoder(rows)
        if not self._decoder_streams:
            return self.decoder(bev, **priors), {}
        output = self.decoder(bev, past, **priors)
        return {key: value for key, value in output.items() if key != "memory"}, output["memory"]

    def _single_step(
        self, features: Tensor, past: Past, inputs: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Seen]:
        """Output and memory of B fused maps, one frame of B streams each, and what the decoder saw."""
        memory: dict[str, Tensor] = {}
        if self.temporal is not None:
            features, memory = self.temporal(features, past)
        seen = self._see_priors(self.bev_encoder(features), inputs)
        output, own = self._decode(seen, past)
        return output, memory | own, seen

    def _with_predictions(
        self, samples: Sequence[MapDataSample], output: dict[str, Tensor], seen: Seen
    ) -> list[MapDataSample]:
        for sample, elements in zip(samples, self.decoder.predict(output), strict=True):
            sample.pred = elements
        scores = None if seen.vectors is None else self.prior.contradiction(seen.outputs)
        if scores is not None:
            for number, sample in enumerate(samples):
                sample.prior = seen.vectors.frame(number)
                sample.prior_contradicted = scores[number][seen.vectors.valid[number]]
        if seen.correction is not None:
            for sample, pose, spread in zip(samples, seen.correction.pose, seen.correction.covariance, strict=True):
                sample.pose_correction, sample.pose_covariance = pose, spread
        return list(samples)

    def _initial_memory(self, features: Tensor) -> dict[str, Tensor]:
        """One row of every state tensor, for a frame without past."""
        memory = self.temporal.initial_memory(features) if self.temporal is not None else {}
        return memory | (self.decoder.initial_memory(features) if self._decoder_streams else {})

    def _loss(
        self,
        features: Tensor,
        aux: dict[str, dict[str, Tensor]],
        inputs: dict[str, Tensor],
        samples: list[MapDataSample],
    ) -> dict[str, Tensor]:
        unlabelled = [sample.token for sample in samples if "gt" not in sample]
        if unlabelled:
            raise DataError(f"frame {unlabelled[0]} has no map to learn from; leave unlabelled frames out of training")
        plan = StreamPlan(samples, None, self.max_gap_s) if self.streams else None
        if plan is not None:
            features, _ = self._remember(features, plan)
        bev = self.bev_encoder(features)  # all frames at once, also for the sake of its batch statistics
        seen = self._see_priors(bev, inputs, samples)
        losses = self._decoder_loss(seen, samples, plan)
        if seen.vectors is not None:
            losses |= self.prior.loss(seen.outputs, seen.vectors)
        if seen.correction is not None:
            losses |= self.correction.loss(seen.correction, samples)
        for name, encoder in self.encoders.items():
            losses |= encoder.loss(aux[name], inputs)
        if self.fusion is not None:
            losses |= self.fusion.loss(aux["fusion"], inputs)
        if self.segmentation is not None:
            losses |= self.segmentation.loss(bev, torch.stack([sample.bev_mask for sample in samples]).to(bev.device))
        if self.perspective is not None:
            if "image_feats" not in aux["camera"]:
                raise ConfigError(f"{type(self.encoders['camera']).__name__} has no image_feats for a perspective head")
            losses |= self.perspective.loss(aux["camera"]["image_feats"], inputs, [sample.gt for sample in samples])
        return losses

    def _decoder_loss(self, seen: Seen, samples: list[MapDataSample], plan: StreamPlan | None) -> dict[str, Tensor]:
        truth = [sample.gt for sample in samples]
        if not self._decoder_streams:
            bev, priors = seen.for_decoder()
            return self.decoder.loss(bev, truth, **priors)

        def step_loss(rows: list[int], past: Past) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            bev, priors = seen.for_decoder(rows)
            return self.decoder.loss(bev, [truth[row] for row in rows], past, **priors)

        steps, _ = plan.unroll(self.decoder.initial_memory(seen.bev), step_loss)
        # Every frame counts alike, however the clips' steps share them out.
        share = [len(step.rows) / len(samples) for step in plan.steps]
        keys = dict.fromkeys(key for step in steps for key in step)  # a step of empty frames has no denoising
        return {
            key: sum(part * step[key] for part, step in zip(share, steps, strict=True) if key in step) for key in keys
        }

    def export_inputs(self, inputs: dict[str, Tensor]) -> "OrderedDict[str, Tensor]":
        """The tensors of one preprocessed batch that :meth:`forward_export` takes, in its order; without a past."""
        names = CAMERA_INPUTS if "camera" in self.encoders else ()
        tensors = OrderedDict((name, inputs[name]) for name in names)
        if "lidar" in self.encoders:
            tensors["points"] = inputs["points"]
            if self.fusion is not None:
                tensors["lidar_valid"] = inputs["lidar_valid"]
        if self.prior is not None:
            tensors |= exported_priors(inputs)
        if "camera" not in self.encoders:
            tensors["batch_zeros"] = inputs["points"].new_zeros(inputs["batch_size"])
        if self.streams:
            with torch.no_grad():
                batch = next(iter(reversed(tensors.values())))
                like = next(iter(self.parameters()))
                past = Past.none(self._initial_memory(like.new_zeros(1, 1, *self.bev_shape)), batch)
            tensors |= {f"state_{name}": value.contiguous() for name, value in past.tensors.items()}
            tensors["state_valid"] = past.valid
            tensors["previous_from_current"] = past.previous_from_current.contiguous()
        return tensors

    @property
    def export_state_names(self) -> tuple[str, ...]:
        """Names of what :meth:`forward_export` returns after scores and points: the next frame's ``state_NAME``."""
        like = next(iter(self.parameters()))
        return tuple(self._initial_memory(like.new_zeros(1, 1, *self.bev_shape))) if self.streams else ()

    @property
    def export_extra_names(self) -> tuple[str, ...]:
        """Names of what comes between points and state, as far as made.

        ``scales``, ``topology``, ``contradicted``, ``pose_correction``, ``pose_covariance``.
        """
        names = list(getattr(self.decoder, "output_names", ())[2:])
        if self.prior is not None and self.prior.scores_changes:
            names.append("contradicted")
        return (*names, "pose_correction", "pose_covariance") if self.correction is not None else tuple(names)

    def _extra_outputs(self, output: dict[str, Tensor], seen: Seen) -> list[Tensor]:
        """Those of :attr:`export_extra_names`.

        Scales (B, Q, P, D) in metres, confidences (B, Q, Q) that row leads to column, contradiction (B, N), x, y, yaw
        (B, 3) of ``bev_from_prior`` and their covariance (B, 3, 3).
        """
        told = {name: value.sigmoid() if name == "topology" else value for name, value in output.items()}
        if seen.vectors is not None and self.prior.scores_changes:
            told["contradicted"] = self.prior.contradiction(seen.outputs)
        if seen.correction is not None:
            told["pose_correction"], told["pose_covariance"] = seen.correction.pose, seen.correction.covariance
        return [told[name] for name in self.export_extra_names if name in told]

    def forward_export(self, **tensors: Tensor) -> tuple[Tensor, ...]:
        """Scores (B, Q, K), points (B, Q, P, 2) ego metres, the decoder's further outputs, and the next state.

        Takes the tensors of :meth:`export_inputs`. The batch size is that of ``images``, or for LiDAR alone the length
        of ``batch_zeros``. A frame whose ``state_valid`` is False ignores its state.
        """
        batch = tensors["images"] if "images" in tensors else tensors["batch_zeros"]
        features, _ = self.encode({**tensors, "batch_size": batch.shape[0]})
        if (
            "batch_zeros" in tensors
        ):  # an input of which nothing but the length is used is dropped by OpenVINO's provider
            features = features + 0 * batch[:, None, None, None]
        names = self.export_state_names
        if names:
            state = {name: tensors[f"state_{name}"] for name in names}
            past = Past(state, tensors["state_valid"], tensors["previous_from_current"])
        else:
            past = Past.none({}, features)
        output, memory, seen = self._single_step(features, past, tensors)
        extra = self._extra_outputs(output, seen)
        return output["logits"].sigmoid(), output["points"], *extra, *(memory[name] for name in names)
