"""Systems of linear equations in ONNX, which has no operator for them: Gauss and Jordan, with pivots.

The thin-plate spline that carries the identity photo onto the attribute's landmarks solves one of 87
unknowns. Needs onnxscript.
"""

from __future__ import annotations

from typing import Any

import onnxscript
import torch
from onnxscript.onnx_types import DOUBLE

OPSET = 18
# Its annotations bind the types of what constants return; the checker takes them for all types at once.
op: Any = onnxscript.opset18
_OWN = onnxscript.values.Opset("stylegan_swap", 1)


@onnxscript.script(_OWN, default_opset=op)
def gauss_jordan(matrix: DOUBLE, right: DOUBLE) -> DOUBLE:
    """Solve ``matrix @ x = right``: ``[1, n, n]`` and ``[1, n, k]`` → ``[1, n, k]``."""
    first = op.Constant(value_ints=[0])
    second = op.Constant(value_ints=[1])
    rows = op.Concat(op.Squeeze(matrix, first), op.Squeeze(right, first), axis=1)
    count = op.Gather(op.Shape(rows), op.Constant(value_int=0))
    numbers = op.Range(op.Constant(value_int=0), count, op.Constant(value_int=1))
    for i in range(count):
        sizes = op.Abs(op.Gather(rows, i, axis=1))
        open_sizes = op.Where(op.Less(numbers, i), op.CastLike(op.Constant(value_float=-1.0), sizes), sizes)
        largest = op.ArgMax(open_sizes, axis=0, keepdims=0)
        is_pivot = op.Equal(numbers, i)
        order = op.Where(is_pivot, largest, op.Where(op.Equal(numbers, largest), i, numbers))
        exchanged = op.Gather(rows, order, axis=0)
        pivot = op.Gather(exchanged, i, axis=0)
        scaled = op.Unsqueeze(op.Div(pivot, op.Gather(pivot, i, axis=0)), first)
        factors = op.Unsqueeze(op.Gather(exchanged, i, axis=1), second)
        rows = op.Where(op.Unsqueeze(is_pivot, second), scaled, op.Sub(exchanged, op.Mul(factors, scaled)))
    end = op.Constant(value_ints=[9223372036854775807])
    return op.Unsqueeze(op.Slice(rows, op.Unsqueeze(count, first), end, second), first)


def translation_table() -> dict[Any, Any]:
    """Operator of torch → its translation to ONNX, for ``torch.onnx.export``."""

    def solve(matrix: Any, right: Any, *, left: bool = True, check_errors: bool = False) -> tuple[Any, ...]:
        if not left:
            raise NotImplementedError("only matrix @ x = right is translated")
        solution = gauss_jordan(matrix, right)
        # Factorisation and state, which torch returns besides, are not used.
        return solution, op.Identity(matrix), op.Identity(right), op.Identity(right)

    return {torch.ops.aten._linalg_solve_ex.default: solve}
