"""A prior is found where it was moved to, moves there, and MapNet's losses judge the corrected poses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import shapely
import torch
from torch import Tensor, nn

from mapstack.errors import ConfigError
from mapstack.export.exporter import export_onnx
from mapstack.geometry import BEVGrid
from mapstack.geometry.se3 import invert, make_transform, rotation_z
from mapstack.models.pose.alignment import LineAlignment
from mapstack.models.pose.correction import PoseCorrection
from mapstack.models.pose.volume import MatchingVolume, draw_vectors
from mapstack.models.priors.batch import exported_priors, only, prior_inputs, priors_of
from mapstack.models.priors.motion import cut_to_patch, move_priors
from mapstack.registry import MODELS
from mapstack.structures import MapDataSample, PriorBatch, PriorMap
from mapstack.structures.prior_map import PRIOR_CLASSES
from tests.export.conftest import METADATA
from tests.models.conftest import mapper_config, packed_batch, truth
from tests.models.priors.problems import PARTS, gap, prior_map, wake

GRID = {"pc_range": (-16, -8, -2, 16, 8, 2), "cell_m": 0.5}
CLASSES = ("divider", "ped_crossing", "boundary")
CHANNELS = 3 * len(CLASSES)


def streets(frames: int, seed: int = 0, num_points: int = 20) -> PriorBatch:
    """Two long lines and three short ones a frame, of any direction: a map that can be laid in one way only."""
    generator = torch.Generator().manual_seed(seed)
    priors = []
    for _ in range(frames):
        middle = (torch.rand(5, 1, 2, generator=generator) - 0.5) * torch.tensor([16.0, 8.0])
        angle = torch.rand(5, 1, generator=generator) * 3.14159
        along = torch.stack([angle.cos(), angle.sin()], -1)
        length = torch.tensor([24.0, 20.0, 5.0, 4.0, 6.0])[:, None, None]
        share = torch.linspace(-0.5, 0.5, num_points)[None, :, None]
        drawn = prior_map(5, num_points=num_points)
        labels = torch.randint(3, (5,), generator=generator)
        priors.append(PriorMap(**{**vars(drawn), "points": middle + length * share * along, "labels": labels}))
    return priors_of(prior_inputs(priors, None))


def seen_map(vectors: PriorBatch, stride: int = 1) -> Tensor:
    """What perfect sensors would make of true vectors: the drawn map itself."""
    grid = BEVGrid(**GRID)
    cell = stride * grid.cell_m
    x = grid.pc_range[0] + (torch.arange(grid.shape[1] // stride) + 0.5) * cell
    y = grid.pc_range[1] + (torch.arange(grid.shape[0] // stride) + 0.5) * cell
    return draw_vectors(vectors, (0, 1, 2), x, y, cell)


def sample(world_from_bev: np.ndarray, bev_from_prior: np.ndarray | None) -> MapDataSample:
    found = {"token": "t", "world_from_bev": world_from_bev}
    return MapDataSample(metainfo=found | ({} if bev_from_prior is None else {"bev_from_prior": bev_from_prior}))


def planar(x: float, y: float, yaw: float) -> np.ndarray:
    return make_transform(rotation_z(yaw), np.array([x, y, 0.0]))


def test_a_metre_of_line_leaves_its_ink_in_its_class_and_direction() -> None:
    vectors = streets(1)
    line = torch.stack([torch.linspace(-3, 3, 20), torch.linspace(-3, 3, 20)], -1)  # at 45 degrees
    vectors = replace(vectors, points=line.expand(1, 5, -1, -1), labels=torch.tensor([[1, 1, 0, 0, 0]]))
    vectors = only(vectors, torch.tensor([[True, False, False, False, False]]))
    layers = seen_map(vectors)
    ink, cos2, sin2 = layers[0].unflatten(0, (3, 3)).sum((2, 3)).unbind(1)
    assert ink.tolist() == pytest.approx([0, 6 * 2**0.5 / 0.5, 0], rel=1e-4)
    assert sin2[1] == pytest.approx(float(ink[1]), rel=1e-4) and cos2[1].abs() < 1e-4


@pytest.mark.parametrize("stride", [1, 2])
@torch.no_grad()
def test_the_best_motion_of_a_volume_is_the_true_one(stride: int) -> None:
    volume = MatchingVolume(BEVGrid(**GRID), stride, CHANNELS, 4, 6.0, 5, CLASSES)
    volume.evidence = nn.Identity()
    volume.log_spread.fill_(10.0)
    generator = torch.Generator().manual_seed(1)
    chosen = torch.randint(len(volume.poses), (12,), generator=generator)
    true = streets(12)
    # bev_from_prior moves the prior onto the map, so the prior lies where its inverse moves the truth.
    poses = volume.poses[chosen]
    back = torch.stack([torch.from_numpy(invert(planar(*pose.tolist()))) for pose in poses])
    angle = torch.atan2(back[:, 1, 0], back[:, 0, 0])
    prior = move_priors(true, torch.stack([back[:, 0, 3], back[:, 1, 3], angle], -1))
    assert gap(move_priors(prior, poses).points, true.points) < 1e-4
    logits = volume(seen_map(true), prior)
    best = logits.argmax(1)
    assert (best == chosen).sum() >= (12 if stride == 1 else 8)
    off = (volume.poses[best] - poses).abs().amax(0)  # on coarse cells a turn may be taken for the one beside it
    assert (off <= torch.tensor([volume.cell_m, volume.cell_m, volume.turn_step]) + 1e-5).all()
    assert volume.target(poses).argmax(1).tolist() == chosen.tolist()
    assert volume.target(poses).sum(1).tolist() == pytest.approx([1.0] * 12)
    far = volume.target(torch.tensor([[1e3, -1e3, 0.0]]))
    corner = volume.poses[far.argmax()]
    assert corner[0] == corner[:].max() and corner[1] == -corner[0], "beyond reach it is the outermost"


def test_a_vector_is_cut_where_shapely_cuts_it() -> None:
    grid = BEVGrid(**GRID)
    vectors = streets(6)
    moved = move_priors(vectors, torch.tensor([[9.0, 5.0, 0.4]]).expand(6, -1))
    cut = cut_to_patch(moved, grid)
    checked = gone = 0
    rows = zip(moved.points.flatten(0, 1), cut.valid.flatten(), cut.points.flatten(0, 1), strict=True)
    for before, valid, after in rows:
        inside = shapely.clip_by_rect(shapely.LineString(before.numpy()), *grid.box_xy)
        if not valid:
            assert inside.length < 3 * 24 / 76 and not after.any()
            gone += 1
            continue
        found = shapely.LineString(after.numpy())
        assert shapely.hausdorff_distance(inside, found) < 24 / 76 + 1e-3
        assert (after.abs() <= torch.tensor([16.0, 8.0])).all()
        checked += 1
    assert checked == 28 and gone == 2
    whole = cut_to_patch(vectors, BEVGrid((-40, -40, -2, 40, 40, 2), 1.0))
    assert gap(whole.points, vectors.points) < 1e-5 and whole.valid.equal(vectors.valid)


@torch.no_grad()
def test_points_that_are_told_the_truth_are_laid_on_it() -> None:
    """One straight line tells its offset and its turn; the place along it stays, and so does all that nobody sees."""
    model = LineAlignment(BEVGrid(**GRID), CHANNELS, (0, 1, 2), steps=1)
    line = torch.stack([torch.linspace(-12, 12, 20), torch.zeros(20)], -1)
    vectors = replace(streets(1), points=line.expand(1, 5, -1, -1))
    one = only(vectors, torch.tensor([[True] + [False] * 4]))
    field = torch.zeros(1, 9, 32, 64)
    y = 0.5 + 0.01 * (torch.arange(64) * 0.5 - 15.75)  # half a metre to the left, and turned by a hundredth
    field[:, 1::3] = y
    field[:, 0::3], field[:, 2::3] = 0.3, -3.0
    errors = model._ask(field, one)
    assert errors.weight.sum() == pytest.approx(24.0, rel=1e-4)
    step, covariance = model._solve(errors)
    x_found, y_found, yaw = step[0].tolist()
    x_spread, y_spread, yaw_spread = covariance[0].diagonal().sqrt().tolist()
    assert x_spread == pytest.approx(1.0, rel=1e-3) and y_spread < 0.1 and yaw_spread < 0.01, "along it nothing is told"
    assert abs(x_found) < 1e-4 and y_found == pytest.approx(0.5, abs=0.01) and yaw == pytest.approx(0.01, abs=3e-4)
    field[:, 2::3] = 2.0  # sure of nothing
    assert model._solve(model._ask(field, one))[0].abs().max() < 0.1
    assert not model._solve(model._ask(field, only(vectors, torch.zeros(1, 5, dtype=torch.bool))))[0].any()
    true = model.middles(move_priors(one, torch.tensor([[0.0, 0.5, 0.0]])))
    told = replace(errors, found=torch.full_like(errors.found, 0.25), log_scale=torch.full_like(errors.found, -1.0))
    assert told.likelihood_loss(true).item() == pytest.approx(0.25 * np.e - 1, rel=1e-4), "Laplace, worked by hand"


@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_losses_vanish_for_true_poses_and_hand_worked_errors_count(mirror: float) -> None:
    """The absolute error is of the pose, the relative one of the motion in a clip; a common offset has none."""
    model = PoseCorrection(GRID, 0.5, CHANNELS, clip_length=2, loss={"learn_weights": False})
    aug = np.diag([1.0, mirror, 1.0, 1.0]) @ planar(0, 0, 0.3)
    worlds = [planar(5000.0 + 3 * i, 2000.0 + i, 1.0 + 0.1 * i) @ invert(aug) for i in range(4)]
    errors = [planar(0.5, -1.0, 0.02), planar(0.4, -0.9, 0.02), planar(1, 2, 0.03), planar(1, 2, 0.03)]
    samples = [sample(world, error) for world, error in zip(worlds, errors, strict=True)]
    vectors = streets(4)
    output = model(torch.zeros(4, CHANNELS, 32, 64), vectors)
    true = model.true_poses(samples, output.pose)
    losses = model.loss(replace(output, pose=true), samples)
    expected = {"translation": 0.0, "rotation": -3.0}
    for name, value in expected.items():
        assert losses[f"loss_correction_{name}"].item() == pytest.approx(value, abs=1e-4)
        assert losses[f"loss_correction_{name}_relative"].item() == pytest.approx(value, abs=1e-4)
    # All frames 0.3 m too far along x of their own: headings differ by 0.1 within a clip, so motion hardly changes.
    off = true + torch.tensor([0.3, 0.0, 0.0])
    wrong = model.loss(replace(output, pose=off), samples)
    assert 0.15 <= wrong["loss_correction_translation"].item() <= 0.3 / 2**0.5 + 1e-3  # the mean over x and y
    assert wrong["loss_correction_translation_relative"].item() < 0.05
    first = true + torch.tensor([[0.3, 0, 0], [0, 0, 0], [0.3, 0, 0], [0, 0, 0]])
    wrong = model.loss(replace(output, pose=first), samples)
    assert wrong["loss_correction_translation_relative"].item() > 0.1


def test_frames_without_priors_stay_and_teach_nothing() -> None:
    model = PoseCorrection(GRID, 0.5, CHANNELS)
    vectors = only(streets(2), torch.tensor([[True] * 5, [False] * 5]))
    torch.manual_seed(0)
    samples = [sample(np.eye(4), planar(1, 0.5, 0.02))] * 2
    true = model.true_poses(samples, vectors.points)
    output = model(torch.randn(2, CHANNELS, 32, 64), vectors, true)
    assert output.present.tolist() == [True, False] and not output.pose[1].any() and output.pose[0].any()
    points = [replace(errors, **{key: value[:1] for key, value in vars(errors).items()}) for errors in output.points]
    first = {key: value[:1] for key, value in vars(output).items() if key != "points"}
    alone = replace(output, **first, points=points)
    both, one = model.loss(output, samples), model.loss(alone, samples[:1])
    assert all(both[key].item() == pytest.approx(one[key].item(), rel=1e-5) for key in one)


def test_a_pose_is_learned_from_a_map_that_is_seen_dimly() -> None:
    torch.manual_seed(0)
    volume = {"reach": 4, "turns_deg": 4.0, "num_turns": 5}
    model = PoseCorrection(GRID, 0.5, CHANNELS, volume=volume)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    spread = torch.tensor([1.5, 1.5, 0.03])

    def problem(seed: int, frames: int) -> tuple[Tensor, PriorBatch, list[MapDataSample]]:
        generator = torch.Generator().manual_seed(seed)
        true = streets(frames, seed)
        noise = torch.randn(frames, CHANNELS, 32, 64, generator=generator)
        poses = [planar(*row) for row in (spread * torch.randn(frames, 3, generator=generator)).tolist()]
        back = [invert(pose) for pose in poses]
        moves = torch.tensor([[pose[0, 3], pose[1, 3], np.arctan2(pose[1, 0], pose[0, 0])] for pose in back])
        return seen_map(true) + 0.5 * noise, move_priors(true, moves), [sample(np.eye(4), pose) for pose in poses]

    for step in range(120):
        bev, vectors, samples = problem(step, 4)
        output = model(bev, vectors, model.true_poses(samples, bev))
        loss = sum(model.loss(output, samples).values())
        optimizer.zero_grad()
        loss.backward()
        if step == 1:  # the field's last layer starts at zero
            untaught = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
            # A single frame has no relative pose to learn a weight from.
            assert untaught == ["loss_fn.log_var_translation_relative", "loss_fn.log_var_rotation_relative"]
        optimizer.step()
    bev, vectors, samples = problem(1000, 24)
    with torch.no_grad():
        output = model.eval()(bev, vectors)
        true = model.true_poses(samples, bev)
        before, left = true, output.pose - true
        assert before[:, :2].norm(dim=1).median() > 1.2 and left[:, :2].norm(dim=1).median() < 0.25
        assert before[:, 2].abs().median().rad2deg() > 0.9 and left[:, 2].abs().median().rad2deg() < 0.5
        laid = model.placed(vectors, output)
        model.move = False
        assert gap(model.placed(vectors, output).points, cut_to_patch(vectors, model.grid).points) == 0
        assert gap(laid.points, model.placed(vectors, output).points) > 0.5


def tiny_mapper() -> nn.Module:
    torch.manual_seed(0)
    config = mapper_config(camera=False, num_points=8)
    part = {**PARTS["unified"], "queries": {"max_queries": 4}}
    config |= {"cell_m": 1.2, "segmentation": None, "prior": {"type": "PriorMaps", "parts": {"unified": part}}}
    small = {"stride": 5, "reach": 2, "num_turns": 3}
    config["correction"] = {"type": "PoseCorrection", "volume": small}
    return MODELS.build(config)


def test_a_mapper_learns_and_tells_the_correction() -> None:
    model = tiny_mapper()
    frames = packed_batch((2, 1), camera=False)
    for i, item in enumerate(frames["data_samples"]):
        item.gt = truth(2 - i, torch.Generator().manual_seed(i), 8)
    frames["inputs"]["prior"] = [prior_map(9), prior_map(0)]
    data = model.data_preprocessor(frames, True)
    with pytest.raises(ConfigError, match="frame-0 has no bev_from_prior.*DisturbPose"):
        model.train()(**data, mode="loss")
    for number, item in enumerate(data["data_samples"]):
        pose = {"world_from_bev": np.eye(4), "bev_from_prior": planar(1, -1, 0.02 * number)}
        item.set_metainfo(pose)
    losses = model(**data, mode="loss")
    assert {"loss_correction_volume", "loss_correction_points", "loss_correction_translation"} <= losses.keys()
    sum(losses.values()).backward()
    assert model.correction.volume.evidence[1].weight.grad.any()
    with pytest.raises(ConfigError, match="no prior part"):
        MODELS.build({**mapper_config(camera=False), "correction": {"type": "PoseCorrection"}})
    wake(model.correction)
    told = model.eval()(**data, mode="predict")
    assert told[0].pose_correction.shape == (3,) and told[0].pose_correction.any()
    assert not told[1].pose_correction.any()


class CorrectionAlone(nn.Module):
    """BEV map and priors to the pose and the moved priors."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.correction = PoseCorrection(GRID, 0.5, CHANNELS, volume={"reach": 4})
        wake(self)

    def export_inputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"bev": inputs["bev"], **exported_priors(inputs)}

    def forward_export(self, bev: Tensor, **tensors: Tensor) -> tuple[Tensor, Tensor]:
        vectors = priors_of(tensors)
        output = self.correction(bev, vectors)
        return output.pose, self.correction.placed(vectors, output).points


def test_any_number_of_vectors_is_corrected_in_onnx_runtime(tmp_path: Path) -> None:
    model = CorrectionAlone().eval()

    def inputs(*counts: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(sum(counts))
        priors = [prior_map(count, seed, num_points=12) for seed, count in enumerate(counts)]
        bev = torch.randn(len(counts), CHANNELS, 32, 64, generator=generator)
        return model.export_inputs({"bev": bev, **prior_inputs(priors, None)})

    export_onnx(model, inputs(5, 3), tmp_path / "model.onnx", METADATA)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for counts in ((4,), (0, 12, 2), (0,)):
        tensors = inputs(*counts)
        # Classes and the like do not matter to where a vector lies; the graph may have dropped them.
        found = session.run(None, {node.name: tensors[node.name].numpy() for node in session.get_inputs()})
        with torch.no_grad():
            expected = model.forward_export(**tensors)
        for value, answer in zip(expected, found, strict=True):
            assert (torch.from_numpy(answer) - value).abs().max() < 1e-4, f"{counts} vectors"


def test_what_the_classes_are_called_is_checked() -> None:
    with pytest.raises(ConfigError, match="classes must be of"):
        PoseCorrection(GRID, 0.5, CHANNELS, classes=("kerb",))
    with pytest.raises(ConfigError, match="multiple of 3"):
        PoseCorrection(GRID, 0.5, CHANNELS, volume={"stride": 3})
    assert PRIOR_CLASSES[:3] == CLASSES
