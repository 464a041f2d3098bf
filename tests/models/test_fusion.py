"""Fusion: attention over windows is attention, offsets move what they say, and an untrained fuser is the baseline."""

import pytest
import torch

from mapstack.errors import ConfigError
from mapstack.models.fusion.alignment import FlowAlignment, warp_by_flow
from mapstack.models.fusion.attention import BEVCrossAttention, sine_position
from mapstack.registry import MODELS

GRID = {"pc_range": (-8, -4, -5, 8, 4, 3), "cell_m": 0.5}
CELL_M = 1.0  # 8 rows, 16 columns
WIDTHS = (6, 5)
ATTENTION = {"embed_dims": 8, "num_heads": 2}


def maps(batch: int = 2, rows: int = 8, cols: int = 16, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, width, rows, cols, generator=generator) for width in WIDTHS]


def fuser(kind: str = "SynergyFusion", **options: object) -> torch.nn.Module:
    shared = {"grid": GRID, "cell_m": CELL_M} if kind == "SynergyFusion" else {}
    return MODELS.build({"type": kind, "in_channels": WIDTHS, "channels": 7, **shared, **options})


def same_weights(window: int | None, halo: int) -> BEVCrossAttention:
    torch.manual_seed(1)
    return BEVCrossAttention(WIDTHS, **ATTENTION, window=window, halo=halo).eval()


@pytest.mark.parametrize(("rows", "cols"), [(8, 16), (7, 13), (3, 4)])
def test_a_window_over_the_whole_map_is_full_attention(rows: int, cols: int) -> None:
    camera, lidar = maps(rows=rows, cols=cols)
    with torch.no_grad():
        full = same_weights(None, 0)(camera, lidar)
        torch.testing.assert_close(same_weights(16, 0)(camera, lidar), full, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(same_weights(5, 16)(camera, lidar), full, rtol=1e-4, atol=1e-5)


def test_a_windowed_cell_is_answered_by_full_attention_over_what_it_may_ask() -> None:
    """The meaning of window and halo: cut the asked map by hand, and ask all of the piece."""
    camera, lidar = maps(1)
    window, halo = 4, 2
    with torch.no_grad():
        attention = same_weights(window, halo)
        answer = attention(camera, lidar)
        position = sine_position(8, 8, 16, camera)
        query, key, value = attention.query(camera) + position, attention.key(lidar) + position, attention.value(lidar)
        for row, col in ((0, 0), (5, 9), (7, 15), (3, 4)):
            top, left = row // window * window, col // window * window
            near = (slice(max(top - halo, 0), top + window + halo), slice(max(left - halo, 0), left + window + halo))
            cell = (slice(None), slice(None), slice(row, row + 1), slice(col, col + 1))
            wanted = attention._full(query[cell], key[:, :, *near], value[:, :, *near])
            torch.testing.assert_close(answer[cell], wanted, rtol=1e-4, atol=1e-5)


def test_windows_reach_240_m_in_the_memory_that_full_attention_needs_for_60(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores held at once: what attention is asked for, counted."""
    asked = []

    def counted(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **rest: object) -> torch.Tensor:
        asked.append(query.shape[:-1].numel() * key.shape[-2])
        return query.new_zeros(*query.shape[:-1], value.shape[-1])

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    far, near = [torch.randn(1, width, 100, 400) for width in WIDTHS], [torch.randn(1, w, 50, 100) for w in WIDTHS]
    with torch.no_grad():
        same_weights(10, 5)(*far)
        same_weights(None, 0)(*near)
    windowed, full = asked
    assert full == 2 * 5000**2
    assert windowed == 2 * 40000 * 20**2 < full


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"synergy": {**ATTENTION, "window": 4, "halo": 2}},
        {"alignment": {"channels": 8}},
        {
            "synergy": {**ATTENTION, "window": None},
            "alignment": {"channels": 8, "correlation_radius": 0, "rigid": False},
        },
    ],
    ids=["neither", "synergy", "alignment", "both"],
)
def test_an_untrained_fuser_is_concatenation_and_every_weight_learns(options: dict) -> None:
    baseline, model = fuser("ConcatFusion"), fuser(**options)
    model.load_state_dict(baseline.state_dict(), strict=False)
    expected = baseline(maps())[0]
    fused, aux = model(maps())
    torch.testing.assert_close(fused, expected, rtol=1e-4, atol=1e-5)
    assert ("flow" in aux) == ("alignment" in options)
    for value in model.parameters():  # what starts at zero would hide what lies before it
        if not value.abs().sum():
            torch.nn.init.normal_(value, std=0.1)
    model(maps())[0].square().sum().backward()
    without = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    # A bias before a softmax over keys moves all of a query's scores alike, and changes nothing.
    assert [name for name in without if not name.endswith("key.bias")] == []


def test_conv_fusion_starts_as_concatenation_and_sees_further() -> None:
    baseline, model = fuser("ConcatFusion").eval(), fuser("ConvFusion", num_blocks=2).eval()
    model.load_state_dict(baseline.state_dict(), strict=False)
    torch.testing.assert_close(model(maps())[0], baseline(maps())[0])
    for block in model.blocks:
        torch.nn.init.ones_(block.body[-1][1].weight)
    changed = maps()
    changed[0][:, :, 4, 2] += 1.0
    reach = (model(changed)[0] - model(maps())[0]).abs().amax((0, 1, 2)).nonzero().max() - 2
    assert reach == 5  # one from the concatenation's convolution, four from the blocks


def test_offsets_move_a_pattern_by_what_they_say() -> None:
    """A blob three cells to the right and one up is read back into place; halves are between cells."""
    row = torch.arange(20.0)[:, None]
    col = torch.arange(30.0)

    def blob(at_row: float, at_col: float) -> torch.Tensor:
        return torch.exp(-(((row - at_row) ** 2 + (col - at_col) ** 2) / 8))[None, None]

    flow = torch.zeros(1, 2, 20, 30)
    flow[:, 0], flow[:, 1] = 3.0, 1.0
    torch.testing.assert_close(warp_by_flow(blob(11, 18), flow)[..., :15, :25], blob(10, 15)[..., :15, :25])
    flow[:, 0], flow[:, 1] = 0.5, 0.0
    torch.testing.assert_close(warp_by_flow(blob(10, 15.5), flow), blob(10, 15), atol=0.04, rtol=0)
    torch.testing.assert_close(warp_by_flow(blob(10, 15), 0 * flow), blob(10, 15))


def rigid_error(shift: tuple[float, float], yaw: float) -> torch.Tensor:
    error, turn = torch.eye(4), torch.tensor(yaw)
    error[:2, :2] = torch.tensor([[turn.cos(), -turn.sin()], [turn.sin(), turn.cos()]])
    error[:2, 3] = torch.tensor(shift)
    return error


def test_the_rigid_part_can_state_a_calibration_error_exactly() -> None:
    """Its three outputs for a shift of (0.5, -0.3) m and 1 degree give the offsets that the loss calls true."""
    alignment = FlowAlignment(GRID, CELL_M, WIDTHS, channels=8, weight=1.0)
    turn = 0.01745 * 8 / CELL_M  # an output of 1 is a cell at the patch's end, 8 m off
    alignment.rigid[-1].bias.data = torch.tensor([0.5 / CELL_M, -0.3 / CELL_M, turn])
    _, _, flow = alignment(*maps(1))
    inputs = {
        "sensor_error": rigid_error((0.5, -0.3), 0.01745)[None],
        "camera_valid": torch.ones(1, 2, dtype=torch.bool),
        "lidar_valid": torch.ones(1, dtype=torch.bool),
    }
    assert alignment.loss(flow, inputs)["loss_alignment"] < 1e-6
    assert alignment.loss(0 * flow, inputs)["loss_alignment"] > 0.05
    measured = {name: value.item() for name, value in alignment.measured(flow, inputs).items()}
    # The shift and, at the ends of a 16 m patch, a turn of up to 0.14 m; the rigid part is linear in it.
    assert 0.45 < measured["misalignment_made_m"] < 0.75 and measured["misalignment_left_m"] < 2e-3
    unmoved = alignment.measured(0 * flow, inputs)["misalignment_left_m"]
    assert unmoved.item() == pytest.approx(measured["misalignment_made_m"])
    assert alignment.measured(flow, {}) == {}
    inputs["lidar_valid"][:] = False
    assert alignment.loss(0 * flow, inputs)["loss_alignment"] == 0
    assert alignment.loss(flow, {}) == {}


def test_the_map_of_the_sensor_in_doubt_is_the_one_that_moves() -> None:
    camera, lidar = maps(1)
    for warped, moved, kept in (("camera", camera, lidar), ("lidar", lidar, camera)):
        alignment = FlowAlignment(GRID, CELL_M, WIDTHS, channels=8, warped=warped).eval()
        alignment.rigid[-1].bias.data[:2] = torch.tensor([2.0, -1.0])
        found = dict(zip(("camera", "lidar"), alignment(camera, lidar)[:2], strict=True))
        expected = warp_by_flow(moved, torch.tensor([2.0, -1.0])[None, :, None, None].expand(1, 2, *moved.shape[-2:]))
        torch.testing.assert_close(found.pop(warped), expected)
        torch.testing.assert_close(*found.values(), kept)
    with pytest.raises(ConfigError, match="camera or lidar"):
        FlowAlignment(GRID, CELL_M, WIDTHS, warped="radar")


def test_alignment_learns_to_undo_a_known_shift() -> None:
    """A few steps on patterns moved by up to 1.5 cells: the warped map must come closer to where it belongs."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    alignment = FlowAlignment(GRID, CELL_M, (4, 4), channels=16, weight=1.0)
    optimizer = torch.optim.Adam(alignment.parameters(), lr=2e-2)

    def batch() -> tuple[torch.Tensor, torch.Tensor, dict]:
        lidar = torch.nn.functional.interpolate(
            torch.randn(8, 4, 4, 8, generator=generator), scale_factor=2, mode="bilinear"
        )
        shift = torch.rand(8, 2, generator=generator) * 3 - 1.5
        error = torch.stack([rigid_error((float(x), float(y)), 0.0) for x, y in shift])
        camera = warp_by_flow(lidar, -shift[:, :, None, None].expand(-1, -1, 8, 16))
        valid = torch.ones(8, dtype=torch.bool)
        return camera, lidar, {"sensor_error": error, "camera_valid": valid[:, None], "lidar_valid": valid}

    losses = []
    for _ in range(60):
        camera, lidar, inputs = batch()
        *_, flow = alignment(camera, lidar)
        (loss,) = alignment.loss(flow, inputs).values()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.4 * sum(losses[:3]) / 3 * 10
    camera, lidar, _ = batch()
    with torch.no_grad():
        warped, _, _ = alignment(camera, lidar)
    inner = (..., slice(2, -2), slice(2, -2))
    assert (warped - lidar)[inner].abs().mean() < 0.8 * (camera - lidar)[inner].abs().mean()
