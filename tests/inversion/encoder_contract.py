"""What every encoder must do; a test class per encoder inherits it and says how to build one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from inversion import Encoder, Latents


class EncoderContract:
    """Inherit, define `build`, and set `input_nc` or `input_size` where they differ."""

    input_nc = 3
    input_size = 256

    def build(self, latent_avg: Tensor | None = None) -> Encoder:
        raise NotImplementedError

    @pytest.fixture
    def encoder(self):
        torch.manual_seed(0)
        return self.build().eval()

    def images(self, batch: int = 2) -> Tensor:
        stream = torch.Generator().manual_seed(1)
        coarse = torch.randn(batch, self.input_nc, 8, 8, generator=stream)
        return torch.nn.functional.interpolate(coarse, size=self.input_size, mode="bilinear").clamp(-1, 1)

    @torch.no_grad()
    def test_it_is_an_encoder_and_returns_latents_of_its_own_shape(self, encoder):
        assert isinstance(encoder, Encoder)
        latents = encoder(self.images())
        assert isinstance(latents, Latents)
        assert latents.wplus.shape == (2, encoder.n_latent, encoder.style_dim)
        assert latents.wplus.isfinite().all()

    @torch.no_grad()
    def test_each_image_is_inverted_alone(self, encoder):
        images = self.images()
        both = encoder(images).wplus
        alone = torch.cat([encoder(image[None]).wplus for image in images])
        assert torch.allclose(both, alone, atol=1e-4 * float(both.abs().max()))
        assert not torch.allclose(both[0], both[1], atol=1e-2 * float(both.abs().max()))

    @torch.no_grad()
    def test_latent_avg_is_added(self, encoder):
        average = torch.linspace(-1, 1, encoder.style_dim)
        torch.manual_seed(0)
        shifted = self.build(average).eval()
        shifted.load_state_dict({**shifted.state_dict(), **_without_average(encoder)})
        difference = shifted(self.images(1)).wplus - encoder(self.images(1)).wplus
        assert torch.allclose(difference, average.expand_as(difference), atol=1e-4)

    def test_gradients_reach_the_image(self, encoder):
        images = self.images(1).requires_grad_()
        encoder(images).wplus.square().mean().backward()
        assert images.grad is not None and float(images.grad.abs().max()) > 0

    def test_other_shapes_are_refused(self, encoder):
        for shape in (
            (1, self.input_nc + 1, 256, 256),
            (1, self.input_nc, 256, 128),
            (self.input_nc, 256, 256),
        ):
            with pytest.raises(ValueError, match="reads"):
                encoder(torch.zeros(shape))


def _without_average(encoder) -> dict[str, Tensor]:
    return {k: v for k, v in encoder.state_dict().items() if k != "latent_avg"}
