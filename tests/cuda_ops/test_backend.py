import dataclasses

import pytest
import torch

from cuda_ops import ops_backend


@pytest.mark.parametrize(
    ("value", "requested"), [(None, "auto"), ("", "auto"), ("auto", "auto"), (" Torch ", "torch")]
)
def test_torch_is_active_without_a_gpu_and_says_why(value, requested, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    backend = ops_backend({} if value is None else {"STYLEGAN_SWAP_OPS": value})
    assert (backend.requested, backend.active) == (requested, "torch")
    assert backend.reason in str(backend)
    assert backend.device in ("cpu", "cuda", "mps")
    with pytest.raises(dataclasses.FrozenInstanceError):
        backend.active = "cuda"


def test_environment_is_read_at_every_call(monkeypatch):
    monkeypatch.setenv("STYLEGAN_SWAP_OPS", "torch")
    assert ops_backend().requested == "torch"
    monkeypatch.delenv("STYLEGAN_SWAP_OPS")
    assert ops_backend().requested == "auto"


def test_cuda_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"torch sees no CUDA GPU here\. Set it to 'auto' or 'torch'"):
        ops_backend({"STYLEGAN_SWAP_OPS": "cuda"})


def test_bad_value_lists_the_choices():
    with pytest.raises(ValueError, match=r"'triton' names no backend.*auto, torch, cuda"):
        ops_backend({"STYLEGAN_SWAP_OPS": "triton"})
