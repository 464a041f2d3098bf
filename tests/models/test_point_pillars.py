"""mmdet3d's PointPillars parts behind our voxelizer."""

import pytest
import torch

from mapstack.registry import MODELS

from .conftest import GRID, mapper_config, packed_batch


def test_mmdet3d_parts_train_in_the_mapper() -> None:
    config = mapper_config(camera=False)
    config["lidar"] = {"type": "PointPillars", "pillar_channels": 8, "channels": 16}
    model = MODELS.build(config)
    losses = model(**model.data_preprocessor(packed_batch(camera=False), True), mode="loss")
    sum(losses.values()).backward()
    assert model.encoders["lidar"].features.pfn_layers[0].linear.weight.grad.abs().sum() > 0
    assert type(model.encoders["lidar"].backbone).__module__.startswith("mmdet3d.")


def test_a_point_lands_in_its_cell() -> None:
    """One point's features are felt at its own BEV cell and nowhere far from it."""
    encoder = MODELS.build({"type": "PointPillars", "grid": GRID, "cell_m": 0.6, "pillar_channels": 8, "channels": 16})
    encoder.eval()
    point = torch.tensor([[0.0, 12.1, -6.2, 0.1, 0.5, 0.0]])
    with torch.no_grad():
        empty, _ = encoder({"points": point[:0], "batch_size": 1})
        full, _ = encoder({"points": point, "batch_size": 1})
    rows, cols = (full - empty).abs().sum(1)[0].nonzero(as_tuple=True)
    assert rows.float().mean().round() == pytest.approx((15 - 6.2) // 0.6, abs=2)
    assert cols.float().mean().round() == pytest.approx((30 + 12.1) // 0.6, abs=2)
    assert rows.max() - rows.min() < 30


def test_a_neck_of_another_stride_is_named() -> None:
    backbone = {"type": "mmdet3d.SECOND", "in_channels": 8, "layer_nums": (1, 1), "layer_strides": (2, 2)}
    part = {"type": "PointPillars", "grid": GRID, "cell_m": 0.3, "pillar_channels": 8, "channels": 16}
    encoder = MODELS.build({**part, "backbone": {**backbone, "out_channels": (8, 16)}})
    with pytest.raises(ValueError, match="cell_m=0.3"):
        encoder({"points": torch.zeros(1, 6), "batch_size": 1})


@pytest.mark.parametrize("cell_m", [0.3, 0.6])
def test_cells_of_one_or_two_pillars_need_no_settings(cell_m: float) -> None:
    """100 x 50 m has pillars of the size of its cells, 60 x 30 m half of that."""
    part = {"type": "PointPillars", "grid": GRID, "pillar_channels": 8, "channels": 16}
    bev, _ = MODELS.build({**part, "cell_m": cell_m})({"points": torch.rand(9, 6), "batch_size": 1})
    assert bev.shape == (1, 16, round(30 / cell_m), round(60 / cell_m))
