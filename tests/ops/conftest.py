"""What the tests of the ops share.

Without a GPU the Triton kernels run in Triton's interpreter, for which Python must be started with
TRITON_INTERPRET=1: test_triton.py does that, in a process of its own.
"""

import os

import pytest
import torch

from mapstack.ops._backends import ORDER, obstacle

REQUIRED = tuple(filter(None, os.environ.get("MAPSTACK_REQUIRE_BACKENDS", "").split(",")))


def device_of(backend: str) -> torch.device:
    """Where a backend's tensors lie in the tests."""
    return torch.device("cuda" if backend in ("cuda", "triton") and torch.cuda.is_available() else "cpu")


def require(backend: str) -> str:
    """Pass a backend that can run on; skip another with its reason, or fail if MAPSTACK_REQUIRE_BACKENDS names it."""
    if reason := obstacle("bev_pool", backend, device_of(backend)):
        assert backend not in REQUIRED, f"{backend} must run here, but: {reason}"
        pytest.skip(reason)
    return backend


@pytest.fixture(params=[name for name in ORDER if name != "reference"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend that can run."""
    return require(request.param)
