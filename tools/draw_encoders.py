"""Draw what camera encoders make of one real frame: BEV features, and where they look for the corners of the map.

tools/draw_encoders.py CONFIG [CONFIG ...] --input NUSCENES_ROOT --map MAP.geojson --out DIR

Writes NAME_features.png for every config, the strongest direction of its features (trained by --weights, in the same
order; else untrained), and CAMERA_corners.jpg with LiDAR points, the map, a green circle about its corners and a
red cross where the encoders look for it. Prints the distance of the two.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from numpy.typing import NDArray
from torch import Tensor

from mapstack.datasets.index import write_index
from mapstack.datasets.sources.detect import read_unlabelled
from mapstack.datasets.transforms import LoadLidar
from mapstack.engine import load_config
from mapstack.engine.inference import build_dataset, build_trained_model
from mapstack.errors import MapstackError
from mapstack.geometry import BEVGrid
from mapstack.geometry.se3 import planar_pose
from mapstack.maps import load_geojson
from mapstack.models.camera.projection import project_to_views
from mapstack.registry import MODELS
from mapstack.visualization import BEVPanel, CameraView, DrawnMap, draw_bev, draw_lidar, draw_map, feature_colors
from mapstack.visualization.corners import corner_errors_px, draw_corners
from mapstack.visualization.frame import load_views


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", metavar="CONFIG")
    parser.add_argument("--weights", nargs="*", default=[], metavar="CHECKPOINT")
    parser.add_argument("--input", type=Path, required=True, metavar="FOLDER", help="a recording; its first frame")
    parser.add_argument("--map", type=Path, required=True, metavar="GEOJSON", help="in the recording's world frame")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    args = parser.parse_args()
    if args.weights and len(args.weights) != len(args.configs):
        parser.error("--weights wants one checkpoint for each config")
    return args


def save(path: Path, picture: NDArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def overlay(view: CameraView, place: int, inputs: dict[str, Tensor], drawn: DrawnMap, points: NDArray) -> tuple:
    """One camera's picture, and the errors at the corners in pixels of the raw image."""
    corners = np.concatenate([np.asarray(line)[:, :2] for line in drawn.vertices])
    corners = np.unique(np.insert(corners, 2, 0.0, axis=1), axis=0)
    at, seen = project_to_views(torch.from_numpy(corners).float(), inputs)
    size = torch.tensor(inputs["images"].shape[:-3:-1])
    pixels = torch.cat([at[0, place] * size - 0.5, torch.ones(len(at[0, place]), 1)], 1).double().numpy()
    raw_from_image = view.intrinsics @ np.linalg.inv(inputs["intrinsics"][0, place].double().numpy())
    places, visible = (pixels @ raw_from_image.T)[:, :2], seen[0, place].numpy()
    backdrop = replace(view, image=draw_map(replace(view, image=draw_lidar(view, points)), drawn))
    return draw_corners(backdrop, corners, places, visible), corner_errors_px(view, corners, places, visible)


def main() -> None:
    args = parse_args()
    frames, kind, root = read_unlabelled(args.input)
    write_index(args.out / "index.parquet", frames[:1], dataset=kind, data_root=root, command="tools/draw_encoders.py")
    for i, path in enumerate(args.configs):
        cfg = load_config(path)
        dataset = build_dataset(cfg, args.out / "index.parquet", with_truth=False)
        model = build_trained_model(cfg, args.weights[i]) if args.weights else MODELS.build(cfg.model).eval()
        batch = model.data_preprocessor(pseudo_collate([dataset[0]]))
        with torch.no_grad():
            bev, _ = model.encoders["camera"](batch["inputs"])
        row, grid = dataset.get_data_info(0), BEVGrid(**cfg.grid)
        drawn = DrawnMap.from_patch(load_geojson(args.map).crop(planar_pose(row["world_from_ego"]), grid))
        panel = BEVPanel(Path(path).stem, drawn, heat=feature_colors(bev[0].numpy())[::-1, :, 0].astype(float))
        save(args.out / f"{Path(path).stem}_features.png", draw_bev(grid, [panel], panel_width_px=1000))
    names, errors = batch["data_samples"][0].camera_names, []
    points = LoadLidar()(dataset.get_data_info(0))["points"]
    for view in load_views([camera for camera in row["cameras"] if camera["name"] in names]):
        picture, found = overlay(view, names.index(view.name), batch["inputs"], drawn, points)
        save(args.out / f"{view.name}_corners.jpg", picture)
        errors.extend(found)
    print(
        f"{len(errors)} corners of the map in view, places at most {max(errors, default=0):.3f} px off; see {args.out}"
    )


if __name__ == "__main__":
    try:
        main()
    except MapstackError as error:
        sys.exit(f"error: {error}")
