"""The model: sensors to BEV, fused, remembered, encoded, decoded into polylines. Every part is configuration."""

import inspect
from collections import OrderedDict
from collections.abc import Sequence

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mapstack.errors import ConfigError, DataError
from mapstack.geometry import BEVGrid
from mapstack.models.temporal import Past, StreamPlan, StreamState
from mapstack.registry import MODELS
from mapstack.structures import MapDataSample

__all__ = ["Mapper"]

CAMERA_INPUTS = ("images", "intrinsics", "ego_from_camera", "camera_valid")
SENSOR_INPUT = {"camera": "images", "lidar": "points"}


def _build(part: dict, shared: dict) -> nn.Module:
    """Build ``part``; what it leaves unsaid and its constructor takes comes from ``shared``."""
    constructor = MODELS.get(part["type"])
    if constructor is None:
        raise ConfigError(f"no module is registered as {part['type']!r}")
    taken = inspect.signature(constructor).parameters
    return MODELS.build({name: value for name, value in shared.items() if name in taken} | dict(part))


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
        segmentation: auxiliary head on the encoded BEV; needs ``bev_mask`` in the samples.
        perspective: auxiliary head on the camera encoder's ``image_feats``.
        max_gap_s: frames of a scene that lie further apart do not continue each other.
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
        segmentation: dict | None = None,
        perspective: dict | None = None,
        max_gap_s: float = 1.5,
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
        self.encoders = nn.ModuleDict({name: _build(part, shared) for name, part in sensors.items()})
        widths = tuple(encoder.out_channels for encoder in self.encoders.values())
        self.fusion = _build(fusion, shared | {"in_channels": widths}) if len(sensors) > 1 else None
        width = self.fusion.out_channels if self.fusion is not None else widths[0]
        self.temporal = _build(temporal, shared | {"in_channels": width}) if temporal else None
        self.bev_encoder = _build(bev_encoder, shared | {"in_channels": width}) if bev_encoder else nn.Identity()
        shared["in_channels"] = self.bev_encoder.out_channels if bev_encoder else width
        self.segmentation = _build(segmentation, shared) if segmentation else None
        if perspective and camera is None:
            raise ConfigError("Mapper has a perspective head and no camera encoder to put it on")
        self.perspective = _build(perspective, shared) if perspective else None
        self.decoder = _build(decoder, shared)
        self.bev_shape, self.max_gap_s = BEVGrid(**grid).with_cell(cell_m).shape, max_gap_s
        self.to(memory_format=torch.channels_last)  # a third faster on CPUs, and what tensor cores want

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
        output, _ = self._single_step(features, Past.none(self._initial_memory(features), features))
        if mode == "tensor":
            extra = zip(self.export_extra_names, self._extra_outputs(output), strict=True)
            return {"scores": output["logits"].sigmoid(), "points": output["points"], **dict(extra)}
        if mode != "predict":
            raise ValueError(f"mode must be loss, predict or tensor, got {mode!r}")
        return self._with_predictions(data_samples, output)

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
        bev = self.bev_encoder(features)
        if self._decoder_streams:
            steps, own = plan.unroll(self.decoder.initial_memory(bev), lambda rows, past: self._decode(bev[rows], past))
            output = {key: plan.in_batch_order([step[key] for step in steps]) for key in steps[0]}
            memory |= own
        else:
            output = self.decoder(bev)
        return self._with_predictions(samples, output), plan.state(memory)

    def _remember(self, features: Tensor, plan: StreamPlan) -> tuple[Tensor, dict[str, Tensor]]:
        """Run the recurrent BEV over a batch; what its last frames leave."""
        if self.temporal is None:
            return features, {}
        outputs, memory = plan.unroll(
            self.temporal.initial_memory(features), lambda rows, past: self.temporal(features[rows], past)
        )
        return plan.in_batch_order(outputs), memory

    def _decode(self, bev: Tensor, past: Past) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The decoder's output for B encoded maps, and what it remembers."""
        if not self._decoder_streams:
            return self.decoder(bev), {}
        output = self.decoder(bev, past)
        return {key: value for key, value in output.items() if key != "memory"}, output["memory"]

    def _single_step(self, features: Tensor, past: Past) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Output and memory of B fused maps, one frame of B streams each."""
        memory: dict[str, Tensor] = {}
        if self.temporal is not None:
            features, memory = self.temporal(features, past)
        output, own = self._decode(self.bev_encoder(features), past)
        return output, memory | own

    def _with_predictions(self, samples: Sequence[MapDataSample], output: dict[str, Tensor]) -> list[MapDataSample]:
        for sample, elements in zip(samples, self.decoder.predict(output), strict=True):
            sample.pred = elements
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
        losses = self._decoder_loss(bev, samples, plan)
        for name, encoder in self.encoders.items():
            losses |= encoder.loss(aux[name], inputs)
        if self.fusion is not None:
            losses |= self.fusion.loss(aux["fusion"], inputs)
        if self.segmentation is not None:
            losses |= self.segmentation.loss(bev, torch.stack([sample.bev_mask for sample in samples]).to(bev.device))
        if self.perspective is not None:
            losses |= self.perspective.loss(aux["camera"]["image_feats"], inputs, [sample.gt for sample in samples])
        return losses

    def _decoder_loss(self, bev: Tensor, samples: list[MapDataSample], plan: StreamPlan | None) -> dict[str, Tensor]:
        truth = [sample.gt for sample in samples]
        if not self._decoder_streams:
            return self.decoder.loss(bev, truth)
        steps, _ = plan.unroll(
            self.decoder.initial_memory(bev),
            lambda rows, past: self.decoder.loss(bev[rows], [truth[row] for row in rows], past),
        )
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
        if "camera" not in self.encoders:
            tensors["batch_like"] = inputs["points"].new_zeros(inputs["batch_size"])
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
        """Names of what comes between the points and the state: of ``scales`` and ``topology`` what the decoder has."""
        return tuple(getattr(self.decoder, "output_names", ())[2:])

    def _extra_outputs(self, output: dict[str, Tensor]) -> list[Tensor]:
        """Scales (B, Q, P, D) in metres, and confidences (B, Q, Q) that row leads to column."""
        return [output[name].sigmoid() if name == "topology" else output[name] for name in self.export_extra_names]

    def forward_export(self, **tensors: Tensor) -> tuple[Tensor, ...]:
        """Scores (B, Q, K), points (B, Q, P, 2) ego metres, the decoder's further outputs, and the next state.

        Takes the tensors of :meth:`export_inputs`. The batch size is that of ``images``, or for LiDAR alone the length
        of ``batch_like``. A frame whose ``state_valid`` is False ignores its state.
        """
        batch = tensors["images"] if "images" in tensors else tensors["batch_like"]
        features, _ = self.encode({**tensors, "batch_size": batch.shape[0]})
        names = self.export_state_names
        if names:
            state = {name: tensors[f"state_{name}"] for name in names}
            past = Past(state, tensors["state_valid"], tensors["previous_from_current"])
        else:
            past = Past.none({}, features)
        output, memory = self._single_step(features, past)
        extra = self._extra_outputs(output)
        return output["logits"].sigmoid(), output["points"], *extra, *(memory[name] for name in names)
