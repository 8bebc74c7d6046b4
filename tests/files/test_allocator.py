"""The allocator setting: done where it can be, refused where it cannot, and told not to."""

from __future__ import annotations

import platform
import sys

import torch

from stylegan_swap.files import allocator


def test_the_setting_is_harmless():
    done = allocator.keep_freed_memory({})
    if sys.platform.startswith("linux"):
        assert done == (platform.libc_ver()[0] == "glibc")
    else:
        assert not done
    assert torch.ones(1000, 1000).sum() == 10**6


def test_the_setting_needs_glibc(monkeypatch):
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())
    assert allocator.keep_freed_memory({}) is False
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert allocator.keep_freed_memory({}) is False


def test_the_user_can_say_no(monkeypatch):
    called = []
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: called.append(1))
    assert allocator.keep_freed_memory({allocator.ENVIRONMENT: " 0"}) is False
    monkeypatch.setenv(allocator.ENVIRONMENT, "0")
    assert allocator.keep_freed_memory() is False
    assert not called
