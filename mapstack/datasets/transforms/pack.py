"""From a dict of arrays to what the model and the metric take."""

import numpy as np
import torch

from mapstack.errors import ConfigError, DataError
from mapstack.geometry.se3 import invert, planar_pose
from mapstack.registry import TRANSFORMS
from mapstack.structures import MapDataSample

from .bev import aug_from_ego

__all__ = ["PackMapInputs"]

META_KEYS = ("token", "scene", "timestamp_ns", "location", "world_from_ego")
SENSOR_META_KEYS = ("camera_names", "image_paths", "lidar_path", "lidar_origin")
OPTIONAL_META_KEYS = ("classes", "grid", "rules", *SENSOR_META_KEYS, "prev", "next")
CALIBRATION_KEYS = ("intrinsics", "ego_from_camera")


@TRANSFORMS.register_module()
class PackMapInputs:
    """Make ``{"inputs": tensors, "data_samples": MapDataSample}`` of a frame.

    ``inputs`` holds what was loaded: ``images`` (V, 3, H, W) uint8 RGB, ``intrinsics`` (V, 3, 3), ``ego_from_camera``
    (V, 4, 4), ``camera_valid`` (V,) bool, ``points`` (M, 5), ``depth`` (V, h, w) and ``sensor_error`` (4, 4); float32
    where not said; and ``prior``, a :class:`PriorMap`. The
    sample's ``world_from_bev`` (4, 4) float64 is the pose of the patch: planar, augmented. After DisturbPose the sample
    has ``bev_from_prior`` (4, 4) float64, too: where the priors' frame, placed by the reported pose, truly lies.

    Args:
        meta_keys: further keys of the frame to keep as metainfo.
    """

    def __init__(self, meta_keys: tuple[str, ...] = ()) -> None:
        self.meta_keys = tuple(meta_keys)

    def __call__(self, results: dict) -> dict:
        """Pack a frame.

        Raises:
            ConfigError: nothing was loaded, or images differ in size.
            DataError: a number that goes to the model is not finite.
        """
        inputs = self._images(results) if "images" in results else {}
        for key in ("points", "depth"):
            if key in results:
                inputs[key] = torch.from_numpy(results[key])
        if "sensor_error" in results:
            inputs["sensor_error"] = torch.from_numpy(results["sensor_error"].astype(np.float32))
        if not inputs:
            raise ConfigError("the pipeline loads no sensor; add LoadImages or LoadLidar before PackMapInputs")
        for key, value in inputs.items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise DataError(f"frame {results['token']}: {key} has NaN or infinite numbers; mend the recording")
        if "prior" in results:
            inputs["prior"] = results["prior"]
        return {"inputs": inputs, "data_samples": self._sample(results)}

    def _images(self, results: dict) -> dict[str, torch.Tensor]:
        shapes = {image.shape for image in results["images"]}
        if len(shapes) > 1:
            raise ConfigError(f"{results['token']}: images have sizes {sorted(shapes)}; add ResizeCropImages")
        images = np.ascontiguousarray(np.stack(results["images"]).transpose(0, 3, 1, 2))
        inputs = {"images": torch.from_numpy(images), "camera_valid": torch.from_numpy(results["camera_valid"])}
        for key in CALIBRATION_KEYS:
            inputs[key] = torch.from_numpy(results[key].astype(np.float32))
        return inputs

    def _sample(self, results: dict) -> MapDataSample:
        meta = {key: results[key] for key in (*META_KEYS, *self.meta_keys)}
        meta |= {key: results[key] for key in OPTIONAL_META_KEYS if key in results}
        ego_from_aug = invert(aug_from_ego(results))
        meta["world_from_bev"] = planar_pose(results["world_from_ego"]) @ ego_from_aug
        if "reported_world_from_ego" in results:
            reported = planar_pose(results["reported_world_from_ego"]) @ ego_from_aug
            meta["bev_from_prior"] = invert(meta["world_from_bev"]) @ reported
        sample = MapDataSample(metainfo=meta)
        if "gt" in results:
            sample.gt = results["gt"]
        if "bev_mask" in results:
            sample.bev_mask = torch.from_numpy(results["bev_mask"])
        return sample
