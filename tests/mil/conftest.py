from __future__ import annotations

import sys

import pytest
import torch


@pytest.fixture(autouse=True)
def _fresh_compiler():
    """What one test compiled counts against the compiler's limit of recompilations in the next."""
    yield
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
