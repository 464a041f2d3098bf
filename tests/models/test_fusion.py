"""Fusion: attention over windows is attention, offsets move what they say, and an untrained fuser is the baseline."""

import pytest
import torch
import torch.nn.functional as F

from mapstack.errors import ConfigError
from mapstack.models.fusion.alignment import FlowAlignment, RigidRegistration, fit_rigid_offsets, warp_by_flow
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
            "alignment": {"channels": 8, "search": 0},
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


def test_one_shift_and_turn_are_found_from_what_blocks_say_and_unsure_blocks_count_less() -> None:
    places = torch.tensor([[-0.75, -0.25, 0.25, 0.75] * 2, [-0.25] * 4 + [0.25] * 4])
    shift, turn = torch.tensor([[0.8], [-0.3]]), 0.2
    seen = shift + turn * torch.stack([-places[1], places[0]])
    wrong = seen.clone()
    wrong[:, 3] += 2.0
    weights = torch.ones(2, 8)
    weights[1, 3] = 1e-6
    found = fit_rigid_offsets(torch.stack([seen, wrong]), weights, places)
    for value, expected in zip(found, (0.8, -0.3, turn), strict=True):
        torch.testing.assert_close(value, torch.full((2,), expected), atol=1e-4, rtol=0)
    off = torch.stack(fit_rigid_offsets(wrong[None], torch.ones(1, 8), places))
    assert (off[:, 0] - torch.tensor([0.8, -0.3, turn])).abs().max() > 0.2


@pytest.mark.parametrize("shape", [(8, 16), (7, 13)])
def test_registration_finds_a_motion_between_maps_that_show_the_same(shape: tuple[int, int]) -> None:
    """Embeddings that leave a smooth pattern as it is: a shift of (1, -0.5) cells is read off, none where none is."""
    generator = torch.Generator().manual_seed(0)
    still = F.interpolate(torch.randn(1, 6, 4, 7, generator=generator), shape, mode="bilinear", align_corners=True)
    registration = RigidRegistration(shape, (6, 6), channels=6, search=2, blocks=(2, 3)).eval()
    registration.embed = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Identity()])
    x, y = torch.linspace(-1, 1, shape[1])[None, None], torch.linspace(-0.5, 0.5, shape[0])[None, :, None]
    moved = torch.tensor([1.0, -0.5])[None, :, None, None].expand(1, 2, *shape)
    for expected in (moved, 0 * moved):
        found = registration(still, warp_by_flow(still, -expected), x, y)
        assert (found - expected).abs().mean() < 0.25
    assert registration(still, 0 * still, x, y).abs().max() < 1e-6, "a sensor that is absent moves nothing"
    with pytest.raises(ConfigError, match="blocks fit"):
        RigidRegistration(shape, (6, 6), blocks=(2, 99))


def test_the_loss_knows_the_offsets_that_undo_an_error() -> None:
    alignment = FlowAlignment(GRID, CELL_M, WIDTHS, channels=8, weight=1.0)
    error = rigid_error((0.5, -0.3), 0.01745)
    x, y = torch.arange(16.0)[None, :] - 7.5, torch.arange(8.0)[:, None] - 3.5  # metres, which are cells here
    along = error[0, 0] * x + error[0, 1] * y + 0.5 - x
    flow = torch.stack([along, error[1, 0] * x + error[1, 1] * y - 0.3 - y])[None]
    inputs = {
        "sensor_error": error[None],
        "camera_valid": torch.ones(1, 2, dtype=torch.bool),
        "lidar_valid": torch.ones(1, dtype=torch.bool),
    }
    assert alignment.loss(flow, inputs)["loss_alignment"] < 1e-6
    assert alignment.loss(0 * flow, inputs)["loss_alignment"] > 0.05
    measured = {name: value.item() for name, value in alignment.measured(flow, inputs).items()}
    # The shift and, at the ends of a 16 m patch, a turn of up to 0.14 m.
    assert 0.45 < measured["misalignment_made_m"] < 0.75 and measured["misalignment_left_m"] < 1e-5
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
        alignment.flow.bias.data = torch.tensor([2.0, -1.0])
        found = dict(zip(("camera", "lidar"), alignment(camera, lidar)[:2], strict=True))
        expected = warp_by_flow(moved, torch.tensor([2.0, -1.0])[None, :, None, None].expand(1, 2, *moved.shape[-2:]))
        torch.testing.assert_close(found.pop(warped), expected)
        torch.testing.assert_close(*found.values(), kept)
    with pytest.raises(ConfigError, match="camera or lidar"):
        FlowAlignment(GRID, CELL_M, WIDTHS, warped="radar")


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_offsets_learn_from_the_map_unless_they_have_a_teacher(weight: float) -> None:
    alignment = FlowAlignment(GRID, CELL_M, WIDTHS, channels=8, weight=weight).train()
    torch.nn.init.normal_(alignment.rigid.embed[1][-1].weight)
    camera, lidar = maps(1)
    warped, _, flow = alignment(camera.requires_grad_(), lidar)
    warped.square().sum().backward(retain_graph=True)
    assert camera.grad.any()
    learns = [name for name, value in alignment.named_parameters() if value.grad is not None and value.grad.any()]
    assert bool(learns) == (weight == 0)
    if weight:
        valid = torch.ones(1, dtype=torch.bool)
        error = {"sensor_error": rigid_error((0.5, 0), 0)[None], "camera_valid": valid[:, None], "lidar_valid": valid}
        alignment.loss(flow, error)["loss_alignment"].backward()
        assert alignment.rigid.embed[0][-1].weight.grad.any() and alignment.flow.weight.grad.any()


def test_alignment_learns_to_undo_a_known_shift() -> None:
    """A few steps on patterns moved by up to 1.5 cells: the warped map must come closer to where it belongs."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    alignment = FlowAlignment(GRID, CELL_M, (4, 4), channels=16, weight=1.0)
    optimizer = torch.optim.Adam(alignment.parameters(), lr=2e-2)

    def batch() -> tuple[torch.Tensor, torch.Tensor, dict]:
        lidar = F.interpolate(torch.randn(8, 4, 4, 8, generator=generator), scale_factor=2, mode="bilinear")
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
