"""What an encoder costs on this machine's CPU: parameters, FLOPs, time and peak memory."""

import ctypes
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["forget_peak", "measure_encoder", "memory_mib", "surround_frame"]

PROCESS = Path("/proc/self")


def surround_frame(
    image_size: tuple[int, int], pc_range: Sequence[float], num_points: int = 30_000
) -> dict[str, Tensor | int]:
    """A frame without content: six cameras that look around, and LiDAR points all over the range.

    Args:
        image_size: (H, W).
        pc_range: as :class:`mapstack.geometry.BEVGrid` has it.
        num_points: of the LiDAR; 30,000 is what three sweeps leave inside 60 m x 30 m.
    """
    generator = torch.Generator().manual_seed(0)
    height, width = image_size
    yaw = torch.arange(6) * (math.pi / 3)
    zero, one = torch.zeros(6), torch.ones(6)
    axes = ([yaw.sin(), -yaw.cos(), zero], [zero, zero, -one], [yaw.cos(), yaw.sin(), zero])  # right, down, ahead
    poses = torch.eye(4).repeat(6, 1, 1)
    poses[:, :3, :3] = torch.stack([torch.stack(axis, -1) for axis in axes], -1)
    poses[:, 2, 3] = 1.6
    intrinsics = torch.tensor([[0.8 * width, 0, width / 2], [0, 0.8 * width, height / 2], [0, 0, 1]])
    low, high = torch.tensor(pc_range[:3]), torch.tensor(pc_range[3:])
    places = low + torch.rand(num_points, 3, generator=generator) * (high - low)
    rest = torch.rand(num_points, 2, generator=generator)
    return {
        "images": torch.randn(1, 6, 3, height, width, generator=generator),
        "intrinsics": intrinsics.repeat(1, 6, 1, 1),
        "ego_from_camera": poses[None],
        "camera_valid": torch.ones(1, 6, dtype=torch.bool),
        "points": torch.cat([torch.zeros(num_points, 1), places, rest], 1),
        "batch_size": 1,
    }


def memory_mib(key: str) -> float:
    """``VmRSS``, what this process holds, or ``VmHWM``, the most that it has held since :func:`forget_peak`."""
    lines = (PROCESS / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


def forget_peak() -> float:
    """Hand freed memory back to the system and start the peak anew; returns what is held now."""
    ctypes.CDLL(None).malloc_trim(0)  # glibc keeps it, and what is run next would look cheaper by as much
    (PROCESS / "clear_refs").write_text("5")
    return memory_mib("VmRSS")


def measure_encoder(encoder: nn.Module, inputs: dict[str, Tensor | int], rounds: int) -> dict[str, float]:
    """Run an encoder on one frame; in a process of its own, so that memory freed before does not hide a peak.

    Args:
        encoder: of cameras or LiDAR; is left in training mode.
        inputs: as the preprocessor makes them.
        rounds: timed runs, after one that is not.

    Returns:
        ``cells`` of the BEV, ``parameters``, ``gflops`` of convolutions and matrix products (torch's counter knows no
        sampling, pooling or scattering), median ``ms``, ``peak_mib`` of the first run and ``training_peak_mib`` of
        forward and backward.
    """
    encoder.eval()
    with torch.no_grad():
        before = forget_peak()
        bev, _ = encoder(inputs)
        peak = memory_mib("VmHWM") - before
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            encoder(inputs)
            times.append(time.perf_counter() - start)
    with FlopCounterMode(display=False) as flops:  # it wants gradients on, where a parameter is an input of a module
        encoder(inputs)
    before = forget_peak()
    encoder.train()(inputs)[0].square().mean().backward()
    return {
        "cells": math.prod(bev.shape[2:]),
        "parameters": sum(value.numel() for value in encoder.parameters()),
        "gflops": flops.get_total_flops() / 1e9,
        "ms": 1e3 * statistics.median(times),
        "peak_mib": peak,
        "training_peak_mib": memory_mib("VmHWM") - before,
    }
