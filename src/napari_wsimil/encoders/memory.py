"""Whether an error says that memory ran out, on whatever device."""

from __future__ import annotations

import torch

_SAYS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "HIP out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)
"""How PyTorch and what is below it word it where the error is a plain RuntimeError."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch could help: a device's or the computer's memory ran out, nothing else."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAYS)
