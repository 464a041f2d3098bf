"""Costs, against what can be counted by hand."""

import torch
from torch import Tensor, nn

from mapstack.engine.cost import forget_peak, measure_encoder, memory_mib, surround_frame


class _Conv(nn.Module):
    """A convolution over the first camera, with 64 MiB held on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, dict]:
        held = torch.ones(16, 2**20)
        return self.conv(inputs["images"][:, 0]) + held.mean(), {}


def test_an_encoders_cost_is_what_it_takes() -> None:
    cost = measure_encoder(_Conv(), surround_frame((16, 32), (-30, -15, -5, 30, 15, 3), num_points=10), rounds=2)
    assert cost["cells"] == 512 and cost["parameters"] == 216
    assert cost["gflops"] == 2 * 216 * 512 / 1e9
    assert 60 < cost["peak_mib"] < 90 and 60 < cost["training_peak_mib"] < 120 and cost["ms"] > 0


def test_the_peak_is_of_what_came_since() -> None:
    torch.ones(32, 2**20)
    before = forget_peak()
    assert memory_mib("VmHWM") < before + 8


def test_the_frame_looks_around() -> None:
    frame = surround_frame((144, 256), (-60, -30, -5, 60, 30, 3), num_points=100)
    ahead = frame["ego_from_camera"][0, :, :3, 2]
    assert frame["images"].shape == (1, 6, 3, 144, 256)
    torch.testing.assert_close(ahead[0], torch.tensor([1.0, 0, 0]))
    torch.testing.assert_close(ahead.sum(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(frame["ego_from_camera"][0, :, :3, :3]), torch.ones(6))
    assert (frame["points"][:, 1].abs() <= 60).all() and (frame["points"][:, 2].abs() <= 30).all()
