"""Host copies: arrays of a training step from wherever they lie, taken without waiting for the device and read later."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Later = Callable[[], NDArray[Any]]
"""Gives the array, once the device has delivered it. To be called where waiting costs nothing."""


def copy_later(array: Any) -> Later:
    """A copy of a NumPy array or of a tensor of torch, as it is now. Of a tensor on a CUDA device only the order to copy it into
    pinned memory is given; any other device is waited for."""
    if not hasattr(array, "detach"):
        values = np.array(array)
        return lambda: values
    tensor = array.detach()
    if tensor.is_floating_point():
        tensor = tensor.float()  # NumPy knows no bfloat16
    if tensor.device.type != "cuda":
        copied = (tensor.clone() if tensor.device.type == "cpu" else tensor.cpu()).numpy()
        return lambda: copied
    return _from_cuda(tensor)


def _from_cuda(tensor: Any) -> Later:
    torch: Any = sys.modules["torch"]  # whoever has a tensor has loaded it
    with torch.cuda.device(tensor.device):
        host = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=True)
        host.copy_(tensor, non_blocking=True)
        done = torch.cuda.Event()
        done.record()

    def wait() -> NDArray[Any]:
        done.synchronize()
        return np.array(host.numpy())

    return wait
