"""What every published latent-space system must do besides the method contract."""

from __future__ import annotations

import pytest
import torch
from methods.method_contract import MethodContract

from inversion import Latents
from stylegan_swap import Swapper, swap
from stylegan_swap.editing.invert import invert_face, redraw
from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.methods.registry import build_method, method_of
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.weights.store import save_weights


def lively(network: torch.nn.Module, *encoders: torch.nn.Module) -> torch.nn.Module:
    """A tiny random network in which everything matters: noise has a weight, batch norms know their input."""
    stream = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("noise.weight"):
                parameter.fill_(0.1)
        for encoder in encoders:
            for module in encoder.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.reset_running_stats()
                    module.momentum = None
            coarse = torch.randn(8, encoder_channels(encoder), 8, 8, generator=stream)
            encoder.train()(torch.nn.functional.interpolate(coarse, size=(256, 256), mode="bilinear"))
    return network.eval()


def encoder_channels(encoder: torch.nn.Module) -> int:
    return next(p.shape[1] for p in encoder.parameters() if p.ndim == 4)


def saved(network: torch.nn.Module, folder) -> object:
    save_weights(folder, network.state_dict(), network.config.to_dict(), dtype="float32")
    return folder


class PublishedContract(MethodContract):
    """Inherit beside `name`; the fixture `weights` is a folder."""

    files: tuple[str, ...]

    def test_without_weights_it_says_what_to_fetch(self, astronaut, hopper):
        for call in (
            lambda: build_method(self.name, None, torch.device("cpu"), torch.float32),
            lambda: swap(astronaut, hopper, method=self.name),
        ):
            with pytest.raises(CheckpointError, match=f"method '{self.name}' needs weights") as caught:
                call()
            assert "\n" not in str(caught.value)
            assert all(file in str(caught.value) for file in self.files)

    def test_a_folder_says_whose_it_is(self, weights):
        assert method_of(weights / "model.safetensors") == self.name
        assert Swapper.from_pretrained(weights, device="cpu").method.name == self.name

    def test_the_weights_are_those_of_the_file(self, method, weights):
        from safetensors.torch import load_file

        stored, state = load_file(str(weights / "model.safetensors")), method.network.state_dict()
        assert stored.keys() == state.keys()
        assert all(torch.equal(stored[name], state[name]) for name in stored)
        assert not method.network.training
        assert not any(parameter.requires_grad for parameter in method.network.parameters())

    def test_a_swap_of_photographs(self, weights, astronaut, hopper):
        result = Swapper.from_pretrained(weights, device="cpu")(astronaut, hopper)
        assert result.method == self.name and result.image.size == (hopper.shape[1], hopper.shape[0])
        assert result.mask.max() > 0.5
        assert result.faces[0].wplus is not None and result.faces[0].distance >= 0

    def test_codes_and_faces_from_them(self, method, pair):
        latents = method.invert(pair[0])
        assert isinstance(latents, Latents) and latents.wplus.dtype == torch.float32
        faces = method.generate(latents, 1, 0.7, 0)
        assert faces.shape == (2, 3, method.size, method.size)
        first, again, other = (method.generate(None, 2, 0.7, seed) for seed in (0, 0, 1))
        assert torch.equal(first, again) and not torch.allclose(first, other, atol=1e-3)
        with pytest.raises(UnsupportedOptionError, match="weights that these codes go with"):
            method.generate(Latents(torch.zeros(1, 3, 5)), 1, 0.7, 0)

    def test_its_generator_can_be_tuned_to_a_photo_but_a_swap_not_refined(self, method, pair):
        face = pair[0][:1]
        codes, identity = method.invert(face), DlibIdentity()
        plain = invert_face(method, codes, face, identity)
        tuned = invert_face(method, codes, face, identity, pti=6)
        assert tuned.psnr > plain.psnr + 1 and torch.equal(tuned.wplus, codes.wplus)
        assert (tuned.structure is None) == (codes.structure is None)
        again = redraw(method, tuned)
        torch.testing.assert_close(again, tuned.reconstruction, atol=1e-5, rtol=0)
        assert (redraw(method, plain) - plain.reconstruction).abs().max() < 1e-5
        with pytest.raises(UnsupportedOptionError, match="no option 'refine'"):
            Swapper(method).prepare("missing.png", refine=1)

    def test_bfloat16_stays_close_and_returns_float32(self, weights, pair, swapped):
        half = build_method(self.name, weights, torch.device("cpu"), torch.bfloat16)
        faces, points = pair
        result = half.swap_aligned(half.prepare(faces, points), faces.flip(0), points.flip(0))
        assert result.image.dtype == result.mask.dtype == result.wplus.dtype == torch.float32
        assert (result.image - swapped.image).abs().mean() < 0.1
