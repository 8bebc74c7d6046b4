import golden
import pytest
import torch
import torch.nn.functional as F

from cuda_ops import conv2d_resample, setup_filter, upfirdn2d

FIR = setup_filter([1, 3, 3, 1])


def options_of(case):
    return {key: value for key, value in case.items() if key not in ("name", "k")}


@golden.mark
def test_official_outputs():
    known = golden.case("ops_conv2d_resample")
    x = known.input("x")
    for case in known.config["cases"]:
        options = options_of(case)
        shape = (known.config["out_channels"], x.shape[1] // options.get("groups", 1), case["k"], case["k"])
        w = known.input(f"w_{case['name']}", shape)
        known.check(case["name"], conv2d_resample(x, w, FIR, **options))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (2, 2), (3, 1)])
def test_every_path_equals_the_slow_chain(up, down, kernel):
    for flip_weight in (True, False):
        torch.manual_seed(0)
        x = torch.randn(2, 4, 8, 6, dtype=torch.float64)
        w = torch.randn(6, 2, kernel, kernel, dtype=torch.float64)
        f = FIR.double()
        up_pads = (1 * (up > 1) * (4 + up - 1) // 2, (up > 1) * (4 - up) // 2)
        down_pads = ((down > 1) * (4 - down + 1) // 2, (down > 1) * (4 - down) // 2)
        extra = (kernel // 2, kernel // 2 + 1)
        pads = tuple(a + b + c for a, b, c in zip(up_pads, down_pads, extra, strict=True)) * 2
        slow = upfirdn2d(x, f if up > 1 else None, up=up, padding=pads, gain=up**2)
        slow = F.conv2d(slow, w if flip_weight else w.flip((2, 3)), groups=2)
        slow = upfirdn2d(slow, f if down > 1 else None, down=down)
        padding = (extra[0], extra[1], extra[0], extra[1])
        fast = conv2d_resample(x, w, f, up, down, padding, groups=2, flip_weight=flip_weight)
        torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize(("up", "down"), [(2, 1), (1, 2), (2, 2)])
def test_first_and_second_derivatives(up, down):
    torch.manual_seed(1)
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    w = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)

    def run(x, w):
        return conv2d_resample(x, w, FIR.double(), up, down, padding=1)

    assert torch.autograd.gradcheck(run, (x, w))
    assert torch.autograd.gradgradcheck(run, (x, w))


def test_bad_arguments():
    for change, message in (
        ({"up": 0}, "up must be"),
        ({"down": 2.0}, "down must be"),
        ({"w": torch.zeros(6, 3, 3, 3)}, "4 channels"),
        ({"w": torch.zeros(6, 4, 3)}, "four axes"),
        ({"groups": 2}, "with 2 groups takes 8"),
        ({"padding": (1, 2, 3)}, "padding"),
    ):
        arguments = {"x": torch.zeros(1, 4, 8, 8), "w": torch.zeros(6, 4, 3, 3), "f": FIR} | change
        with pytest.raises(ValueError, match=message):
            conv2d_resample(**arguments)
