"""Ranger: rectified Adam with a slow second copy of the weights and centred gradients.

Training of encoders uses it, as pSp and e4e do. Three papers in one: RAdam (Liu et al.
2020), Lookahead (Zhang et al. 2019), gradient centralisation (Yong et al. 2020). The first is torch's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import RAdam
from torch.optim.optimizer import ParamsT


class Ranger(RAdam):
    """RAdam on centred gradients; every ``k`` steps the weights go back ``1 − alpha`` of the way.

    Centring: from the gradient of every tensor of two or more dimensions the mean over all but the first
    is taken away (in place). Weight decay is decoupled, as in AdamW.

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: of Adam.
        eps: of Adam.
        weight_decay: share of the weights lost per step at learning rate 1.
        alpha: how far the slow weights follow the fast ones, 0..1.
        k: steps between two meetings.

    Raises:
        ValueError: ``alpha`` outside 0..1 or ``k`` below 1.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        weight_decay: float = 0.0,
        *,
        alpha: float = 0.5,
        k: int = 6,
    ) -> None:
        if not 0 <= alpha <= 1 or k < 1:
            raise ValueError(f"Ranger: alpha must lie in 0..1 and k be at least 1, got {alpha} and {k}.")
        super().__init__(params, lr, betas, eps, weight_decay, decoupled_weight_decay=True)
        self.alpha = alpha
        self.k = k

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Move every parameter that has a gradient.

        Args:
            closure: computes the loss and the gradients anew; optional.

        Returns:
            What ``closure`` returned, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        trained = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        starts: dict[Tensor, Tensor] = {p: p.detach().clone() for p in trained if not self.state[p]}
        for p in trained:
            if p.ndim > 1:
                p.grad -= p.grad.mean(dim=tuple(range(1, p.ndim)), keepdim=True)
        super().step()
        for p in trained:
            state = self.state[p]
            # RAdam takes a state with anything in it for its own, so this comes after its first step.
            if p in starts:
                state["slow"] = starts[p]
            if int(state["step"]) % self.k == 0:
                state["slow"].lerp_(p, self.alpha)
                p.copy_(state["slow"])
        return loss
