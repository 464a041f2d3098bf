"""What the tests of the ops share.

Without a GPU the Triton kernels run in Triton's interpreter, for which Python must be started with
TRITON_INTERPRET=1: test_triton.py does that, in a process of its own.
"""

import os

import pytest
import torch

from mapstack.ops._backends import ORDER, obstacle

REQUIRED = tuple(filter(None, os.environ.get("MAPSTACK_REQUIRE_BACKENDS", "").split(",")))


@pytest.fixture(params=[name for name in ORDER if name != "reference"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend that can run; the others skip with their reason, unless MAPSTACK_REQUIRE_BACKENDS names them."""
    name = request.param
    reason = obstacle("bev_pool", name, device_of(name))
    if reason:
        assert name not in REQUIRED, f"{name} must run here, but: {reason}"
        pytest.skip(reason)
    return name


def device_of(backend: str) -> torch.device:
    """Where a backend's tensors lie in the tests."""
    return torch.device("cuda" if backend in ("cuda", "triton") and torch.cuda.is_available() else "cpu")
