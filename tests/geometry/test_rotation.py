import math

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.autograd import gradcheck

from mapstack.geometry import rotation as rot
from mapstack.geometry.rotation import REPRESENTATIONS, geodesic_distance, so3_exp, so3_log

NAMES = list(REPRESENTATIONS)
CONTINUOUS = [name for name in NAMES if REPRESENTATIONS[name].is_continuous]
BROKEN = [name for name in NAMES if not REPRESENTATIONS[name].is_continuous]
AXES = torch.nn.functional.normalize(
    torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, -2, 3], [-0.3, 0.2, 0.1]], dtype=torch.float64), dim=1
)


def random_matrices(count: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(Rotation.random(count, random_state=seed).as_matrix())


def turns(angle: float) -> Tensor:
    """(5, 3, 3): by ``angle`` about each of the axes."""
    return torch.from_numpy(Rotation.from_rotvec(angle * AXES.numpy()).as_matrix())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(), (7,), (2, 3), (0,)])
def test_there_and_back(name: str, shape: tuple[int, ...]) -> None:
    matrices = random_matrices(max(1, math.prod(shape)))[: math.prod(shape)].reshape(*shape, 3, 3)
    representation = REPRESENTATIONS[name]
    numbers = representation.from_matrix(matrices)
    assert numbers.shape == (*shape, representation.dims)
    torch.testing.assert_close(representation.to_matrix(numbers), matrices, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_any_numbers_give_a_rotation(name: str) -> None:
    numbers = torch.randn(200, REPRESENTATIONS[name].dims, dtype=torch.float64) * 3
    matrices = REPRESENTATIONS[name].to_matrix(numbers)
    torch.testing.assert_close(matrices @ matrices.mT, torch.eye(3, dtype=torch.float64).expand(200, 3, 3))
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(200, dtype=torch.float64))


def test_conventions_are_scipys() -> None:
    ours, theirs = random_matrices(50), Rotation.random(50, random_state=0)
    close = {"atol": 1e-12, "rtol": 0}
    quaternion = torch.from_numpy(theirs.as_quat(canonical=True)).roll(1, -1)  # scipy's w is last
    torch.testing.assert_close(rot.matrix_to_quaternion(ours), quaternion, **close)
    torch.testing.assert_close(so3_log(ours), torch.from_numpy(theirs.as_rotvec()), **close)
    torch.testing.assert_close(so3_exp(torch.from_numpy(theirs.as_rotvec())), ours, **close)
    torch.testing.assert_close(rot.matrix_to_log_quaternion(ours), torch.from_numpy(theirs.as_rotvec() / 2), **close)
    torch.testing.assert_close(rot.matrix_to_euler(ours), torch.from_numpy(theirs.as_euler("ZYX").copy()), **close)


def test_log_of_quaternions_worked_by_hand() -> None:
    half = math.sqrt(0.5)
    quaternion = torch.tensor([[1.0, 0, 0, 0], [half, half, 0, 0], [0, 0, 1, 0]], dtype=torch.float64)
    expected = torch.tensor([[0.0, 0, 0], [math.pi / 4, 0, 0], [0, math.pi / 2, 0]], dtype=torch.float64)
    torch.testing.assert_close(rot.quaternion_log(quaternion), expected)
    torch.testing.assert_close(rot.quaternion_exp(expected), quaternion)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-5, 1.1e-4, 1e-2, 1.0, math.pi - 1e-5, math.pi])
def test_exp_and_log_keep_their_digits_at_every_angle(angle: float) -> None:
    torch.testing.assert_close(so3_exp(angle * AXES), turns(angle), atol=1e-14, rtol=0)
    vectors = so3_log(turns(angle))
    torch.testing.assert_close(vectors.norm(dim=-1), torch.full((5,), angle, dtype=torch.float64), atol=1e-13, rtol=0)
    torch.testing.assert_close(so3_exp(vectors), turns(angle), atol=1e-13, rtol=0)


@pytest.mark.parametrize("angle", [0.0, 1e-5, 0.7, math.pi - 1e-3, math.pi])
def test_gradients_of_exp_at_identity_and_half_turns(angle: float) -> None:
    assert gradcheck(so3_exp, ((angle * AXES).requires_grad_(),))
    assert gradcheck(rot.quaternion_exp, ((angle / 2 * AXES).requires_grad_(),))


@pytest.mark.parametrize("angle", [0.0, 1e-5, 0.7, math.pi - 1e-3])
def test_gradients_of_log_up_to_the_half_turn(angle: float) -> None:
    assert gradcheck(so3_log, (turns(angle).requires_grad_(),))
    assert gradcheck(rot.matrix_to_quaternion, (turns(angle).requires_grad_(),))
    assert gradcheck(rot.quaternion_log, (rot.matrix_to_quaternion(turns(angle)).requires_grad_(),))


def test_gradient_of_log_at_the_half_turn_is_the_one_sided_derivative() -> None:
    """The logarithm jumps there; a backward pass must give the slope of the side that it chose, not NaN."""
    matrices = turns(math.pi).requires_grad_()
    vectors = so3_log(matrices)
    (gradient,) = torch.autograd.grad((vectors * vectors.detach()).sum() / math.pi, matrices)
    # Turning back about the own axis shortens the vector at rate 1.
    step = 1e-6
    toward = (so3_exp((math.pi - step) * AXES) - so3_exp(math.pi * AXES)) / step
    torch.testing.assert_close(
        (gradient * toward).sum((-1, -2)), -torch.ones(5, dtype=torch.float64), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("angle", [0.0, 0.7, math.pi])
def test_continuous_representations_have_gradients_everywhere(name: str, angle: float) -> None:
    representation, matrices = REPRESENTATIONS[name], turns(angle)
    assert gradcheck(representation.from_matrix, (matrices.clone().requires_grad_(),))
    assert gradcheck(representation.to_matrix, (representation.from_matrix(matrices).requires_grad_(),))


@pytest.mark.parametrize("name", BROKEN)
def test_every_decoder_has_gradients(name: str) -> None:
    representation = REPRESENTATIONS[name]
    for angle in (0.0, 0.7, math.pi):
        assert gradcheck(representation.to_matrix, (representation.from_matrix(turns(angle)).requires_grad_(),))


@pytest.mark.parametrize("angle", [1e-6, 0.3, 2.0, math.pi - 1e-6])
def test_geodesic_distance_is_the_angle_between(angle: float) -> None:
    first = random_matrices(5)
    second = first @ turns(angle)
    expected = torch.full((5,), angle, dtype=torch.float64)
    torch.testing.assert_close(geodesic_distance(first, second), expected, atol=1e-13, rtol=0)
    torch.testing.assert_close(geodesic_distance(second, first), expected, atol=1e-13, rtol=0)
    if 1e-3 < angle < 3:
        assert gradcheck(geodesic_distance, (first.requires_grad_(), second.detach()))


@pytest.mark.parametrize("angle", [0.0, math.pi])
def test_geodesic_distance_has_finite_gradients_at_its_kinks(angle: float) -> None:
    second = turns(angle).requires_grad_()
    distance = geodesic_distance(torch.eye(3, dtype=torch.float64), second)
    torch.testing.assert_close(distance, torch.full((5,), angle, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(distance.sum(), second)
    assert gradient.isfinite().all()


def ratio(name: str, angle: float, step: float = 1e-4) -> Tensor:
    """How far the numbers move per radian, around ``angle`` about each axis."""
    numbers = REPRESENTATIONS[name].from_matrix(torch.stack([turns(angle - step), turns(angle + step)]))
    return (numbers[1] - numbers[0]).norm(dim=-1) / (2 * step)


@pytest.mark.parametrize("name", BROKEN)
def test_three_and_four_numbers_jump_at_the_half_turn(name: str) -> None:
    """A fifth of a thousandth of a radian further, and the numbers are elsewhere; they move calmly at 1 rad."""
    assert ratio(name, math.pi).max() > 5_000
    assert ratio(name, 1.0).max() < 10


@pytest.mark.parametrize("name", CONTINUOUS)
def test_five_and_six_numbers_never_jump(name: str) -> None:
    rates = torch.stack([ratio(name, angle) for angle in torch.linspace(0, 2 * math.pi, 181).tolist()])
    assert rates.max() < 3
    # Along random great circles, too, not only those through the identity.
    start, path = random_matrices(300), turns(2e-4)
    numbers = [REPRESENTATIONS[name].from_matrix(m) for m in (start[:, None], start[:, None] @ path)]
    assert ((numbers[1] - numbers[0]).norm(dim=-1) / 2e-4).max() < 3


def test_no_choice_of_sign_saves_the_quaternion() -> None:
    """Followed around one whole turn without a jump, the quaternion comes back as its negative: some sign must flip."""
    angles = torch.linspace(0, 2 * math.pi, 400, dtype=torch.float64)
    matrices = so3_exp(angles[:, None] * AXES[3])
    path = [rot.matrix_to_quaternion(matrices[0])]
    for matrix in matrices[1:]:
        quaternion = rot.matrix_to_quaternion(matrix)
        path.append(quaternion if quaternion @ path[-1] > 0 else -quaternion)
    assert max(float((b - a).norm()) for a, b in zip(path, path[1:], strict=False)) < 0.01
    torch.testing.assert_close(matrices[-1], matrices[0], atol=1e-12, rtol=0)
    torch.testing.assert_close(path[-1], -path[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", rot.PLANAR_REPRESENTATIONS)
def test_the_plane_has_its_own(name: str) -> None:
    representation = rot.PLANAR_REPRESENTATIONS[name]
    yaw = torch.linspace(-3, 3, 13, dtype=torch.float64)
    matrices = turns_about_z(yaw)[:, :2, :2]
    torch.testing.assert_close(representation.to_matrix(representation.from_matrix(matrices)), matrices)
    torch.testing.assert_close(geodesic_distance(torch.eye(2, dtype=torch.float64), matrices), yaw.abs())
    around = torch.tensor([math.pi - 1e-4, math.pi + 1e-4], dtype=torch.float64)
    jump = representation.from_matrix(turns_about_z(around)[:, :2, :2])
    assert ((jump[1] - jump[0]).norm() < 1e-3) == representation.is_continuous
    numbers = torch.randn(5, representation.dims, dtype=torch.float64)
    assert gradcheck(representation.to_matrix, (numbers.requires_grad_(),))


def turns_about_z(yaw: Tensor) -> Tensor:
    return torch.from_numpy(Rotation.from_euler("z", yaw.numpy()[:, None]).as_matrix())


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_is_enough(name: str) -> None:
    matrices = torch.cat([turns(0.0), turns(1e-5), turns(math.pi), random_matrices(50)])
    single = REPRESENTATIONS[name].to_matrix(REPRESENTATIONS[name].from_matrix(matrices.float()))
    torch.testing.assert_close(single.double(), matrices, atol=3e-6, rtol=0)
