"""What happens to gradients between ``backward`` and the optimiser's step.

``stage`` calls it in every step: the average over processes, and a guard against numbers that are none.
The processes are averaged here and not by DistributedDataParallel, whose reducer allows one backward pass
per forward pass; a GAN step has several, each for its own parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

# What an infinite gradient counts as; as in the official StyleGAN2.
INFINITE = 1e5


def finish_gradients(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Average the gradients over all processes and repair those that are no numbers, in place.

    NaN becomes 0 and ±infinity ±1e5. A parameter without a gradient keeps none, unless another process has
    one.

    Args:
        parameters: of one optimiser, the same on every process.

    Returns:
        Length of the gradient before the repair, a scalar; not finite if there was something to repair.
    """
    if several_processes():
        _agree_on_present(parameters)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros((), device=parameters[0].device if parameters else "cpu")
    if not several_processes() and gradients[0].device.type == "cpu":
        length = torch.stack(torch._foreach_norm(gradients)).norm()
        if not torch.isfinite(length):
            for gradient in gradients:
                torch.nan_to_num(gradient, nan=0.0, posinf=INFINITE, neginf=-INFINITE, out=gradient)
        return length
    # On a GPU asking whether a repair is needed would cost more than the repair.
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    if several_processes():
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
    length = flat.norm()
    torch.nan_to_num(flat, nan=0.0, posinf=INFINITE, neginf=-INFINITE, out=flat)
    parts = flat.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view_as(old) for part, old in zip(parts, gradients, strict=True)])
    return length


def several_processes() -> bool:
    """Whether this run is spread over processes."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _agree_on_present(parameters: Sequence[nn.Parameter]) -> None:
    """Fills in zeros where a gradient is missing here and present on another process."""
    present = torch.tensor(
        [float(parameter.grad is not None) for parameter in parameters], device=parameters[0].device
    )
    here_only = present.clone()
    dist.all_reduce(present, op=dist.ReduceOp.MAX)
    if bool((present > here_only).any()):
        for parameter, anywhere in zip(parameters, present.tolist(), strict=True):
            if anywhere and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
