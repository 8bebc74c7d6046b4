"""Several processes on one machine or many: Lightning starts and connects them, and nothing more.

``run`` gives it to the trainer. Gradients are averaged by ``gradients``, so the stage is not wrapped in
DistributedDataParallel, which cannot follow several backward passes per step.
"""

from __future__ import annotations

from datetime import timedelta

import torch
import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy

# The others wait so long for one that measures, saves or is lost.
PATIENCE = timedelta(minutes=30)


class PlainProcesses(DDPStrategy):
    """Processes that begin with equal weights."""

    def __init__(self) -> None:
        super().__init__(timeout=PATIENCE)

    def configure_ddp(self) -> None:
        """Give every process the first one's parameters and buffers."""
        assert self.model is not None
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            # The counts stay on the CPU, which NCCL does not serve; every process read the same ones.
            if tensor.device.type == self.root_device.type:
                with torch.no_grad():
                    # Not in place on the parameter: its memory may be strided, as channels-last is.
                    values = tensor.detach().clone(memory_format=torch.contiguous_format)
                    dist.broadcast(values, src=0)
                    tensor.copy_(values)
