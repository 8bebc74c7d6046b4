import pytest
import torch

from cuda_ops import CapturedCall
from cuda_ops.captured_call import _Recording


def test_off_the_gpu_the_function_is_called():
    call = CapturedCall(lambda x, y: (x + y, x * y))
    with torch.no_grad():
        total, product = call(torch.tensor(2.0), torch.tensor(3.0))
    assert (float(total), float(product)) == (5.0, 6.0)
    x = torch.ones(2, requires_grad=True)
    CapturedCall(lambda x: x.square())(x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert CapturedCall(lambda: torch.ones(1))().item() == 1.0


def test_recordings_are_kept_per_shape_type_and_layout_and_the_oldest_goes(monkeypatch):
    made = []

    def record(self, inputs):
        made.append(tuple(inputs[0].shape))
        return _Recording(None, list(inputs), [], True)

    monkeypatch.setattr(CapturedCall, "_record", record)
    call = CapturedCall(lambda x: x, keep=2)
    a, b, c = torch.ones(1, 4, 2, 2), torch.ones(2, 4, 2, 2), torch.ones(3, 4, 2, 2)
    first = call._recorded([a])
    assert call._recorded([torch.zeros_like(a)]) is first
    call._recorded([b])
    call._recorded([a])
    call._recorded([c])
    assert call._recorded([a]) is first
    call._recorded([b])
    assert made == [(1, 4, 2, 2), (2, 4, 2, 2), (3, 4, 2, 2), (2, 4, 2, 2)]
    call.clear()
    assert call._recorded([a]) is not first
    seen = len(made)
    call._recorded([a.half()])
    call._recorded([a.contiguous(memory_format=torch.channels_last)])
    assert len(made) == seen + 2


def test_at_least_one_recording():
    with pytest.raises(ValueError, match="keep must be at least 1"):
        CapturedCall(torch.relu, keep=0)
