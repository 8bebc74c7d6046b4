"""``stylegan-swap export``: the file, what it says of itself, and that it paints what torch paints."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnxscript.onnx_types import DOUBLE
from PIL import Image
from typer.testing import CliRunner

from stylegan_swap.api import Swapper
from stylegan_swap.cli.main import app
from stylegan_swap.errors import ExportError, UnsupportedOptionError
from stylegan_swap.export import onnx_file
from stylegan_swap.export.linear_solve import gauss_jordan
from stylegan_swap.export.onnx_file import export_onnx
from stylegan_swap.export.swap_graph import INPUTS, OUTPUTS, SwapGraph, feed_of
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.weights.store import registered_weights

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
# Measured: 5e-6; a step of eight bits is 0.008.
CLOSE = 1e-4


def run(*arguments: object):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def file(shared_folder) -> Path:
    """The default network, written by the command; half a minute, so once for all tests."""

    def export(folder: Path) -> None:
        done = run("-o", folder / "swap.onnx")
        assert done.exit_code == 0, done.output
        assert re.search(
            r"swap\.onnx  \(5\d\.\d MB, 256 × 256, opset 18, differs from torch by ", done.output
        )
        assert [folder / "swap.onnx"] == list(folder.iterdir())

    return shared_folder("export", export) / "swap.onnx"


@pytest.fixture(scope="module")
def session(file) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def swapper() -> Swapper:
    return Swapper.from_pretrained(device="cpu", dtype="float32")


def aligned(pixels: np.ndarray, landmarks: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    alignment = ffhq_alignment(landmarks, 256)
    return from_pixels(alignment.crop(pixels)), torch.from_numpy(alignment.to_crop(landmarks))[None]


@pytest.fixture(scope="module")
def faces(astronaut, hopper, astronaut_face, hopper_face, swapper):
    """Two real faces and two generated ones, with their landmarks (None: to be predicted)."""
    drawn = [from_pixels(np.asarray(image)) for image in swapper.generate(n=2, seed=3)]
    return {
        "astronaut": aligned(astronaut, astronaut_face.landmarks),
        "hopper": aligned(hopper, hopper_face.landmarks),
        "generated": (drawn[0], None),
        "another": (drawn[1], None),
    }


@pytest.mark.parametrize(
    ("who", "where", "dials"),
    [
        ("astronaut", "hopper", {}),
        ("hopper", "astronaut", {}),
        ("generated", "another", {}),
        ("another", "astronaut", {"structure": 0.6, "appearance": 0.3}),
    ],
)
def test_onnx_paints_what_torch_paints(session, swapper, faces, who, where, dials):
    (x_id, id_points), (x_attr, attr_points) = faces[who], faces[where]
    image, mask = session.run(["image", "mask"], feed_of(x_id, x_attr, id_points, attr_points, **dials))
    method = swapper.method
    expected = method.swap_aligned(method.prepare(x_id, id_points), x_attr, attr_points, dials)
    assert np.abs(image - expected.image.numpy()).max() < CLOSE
    # The method limits the predicted mask to the hull, so there the file's is the larger.
    assert (mask >= expected.mask.numpy() - CLOSE).all() and 0 <= mask.min() < 0.1 and mask.max() <= 1
    assert np.abs(image - x_attr.numpy()).max() > 0.3, "nothing was swapped"
    identity = method.network.identity
    found = identity.embed(torch.from_numpy(image))
    distances = [float(identity.distance(found, identity.embed(face))) for face in (x_id, x_attr)]
    assert dials or distances[0] < distances[1]


def test_masks_and_unknown_landmarks_agree_with_the_graph(session, swapper, faces):
    graph = SwapGraph(swapper.method.network)
    feed = feed_of(faces["hopper"][0], faces["astronaut"][0], faces["hopper"][1], faces["astronaut"][1])
    assert feed["identity_glasses"].all(), "Hopper wears glasses"
    known = session.run(["image", "mask"], feed)
    nowhere = {**feed, "identity_landmarks": np.full((1, 68, 2), np.nan, np.float32)}
    without = session.run(["image", "mask"], nowhere)
    for given, found in ((feed, known), (nowhere, without)):
        with torch.no_grad():
            expected = graph(*(torch.from_numpy(given[port.name]) for port in INPUTS))
        for ours, theirs in zip(found, expected, strict=True):
            assert np.isfinite(ours).all()
            assert np.abs(ours - theirs.numpy()).max() < CLOSE
    assert np.abs(known[0] - without[0]).max() > 0.05, "the identity photo itself was not read"


def test_the_network_is_as_it_was_after_an_export(file, swapper, faces):
    fresh = Swapper.from_pretrained(device="cpu", dtype="float32")
    before, after = (
        one.swap_aligned(faces["astronaut"][0], faces["hopper"][0], faces["hopper"][1])[0]
        for one in (swapper, fresh)
    )
    assert torch.equal(before, after) and type(after) is torch.Tensor


def test_the_file_says_what_it_is(file):
    model = onnx.load(str(file))
    onnx.checker.check_model(model, full_check=True)
    said = {entry.key.removeprefix("stylegan_swap."): entry.value for entry in model.metadata_props}
    entry = registered_weights()["default"]
    assert said["weights"] == "default" and said["weights_sha256"] == entry.sha256
    assert said["licence"] == entry.licence == "Apache-2.0"
    assert said["noise"].startswith("fixed") and "mark" in said["duty"]
    assert model.producer_name == "stylegan_swap" and model.producer_version == said["version"]
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 18)], (
        "own operators would need a library"
    )
    for values, ports in ((model.graph.input, INPUTS), (model.graph.output, OUTPUTS)):
        for value, port in zip(values, ports, strict=True):
            kind = value.type.tensor_type
            assert value.name == port.name and value.doc_string == port.about
            assert [dim.dim_value for dim in kind.shape.dim] == port.sized(256)
            assert kind.elem_type == (
                onnx.TensorProto.BOOL if port.kind == "bool" else onnx.TensorProto.FLOAT
            )
            assert f"`{port.name}`" in PAGE, f"docs/export.md does not tell of {port.name}"
    assert not [node.name for node in model.graph.node if node.metadata_props or node.doc_string]
    assert str(ROOT).encode() not in file.read_bytes()


def test_the_page_shows_a_program_that_swaps(file, tmp_path, monkeypatch, astronaut, hopper):
    shutil.copy(file, tmp_path / "swap.onnx")
    Image.fromarray(hopper).save(tmp_path / "identity.png")
    Image.fromarray(astronaut).save(tmp_path / "attribute.png")
    monkeypatch.chdir(tmp_path)
    code = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(code) == 1
    Path("page.py").write_text(code[0], encoding="utf-8")
    runpy.run_path("page.py")
    swapper = Swapper.from_pretrained("default", device="cpu", dtype="float32")
    ours = np.asarray(swapper(hopper, astronaut, detail=0.0).image).astype(int)
    theirs = np.asarray(Image.open(tmp_path / "swapped.png")).astype(int)
    assert np.abs(ours - theirs).max() <= 2, "not what swap() paints without fine detail"
    assert np.abs(theirs - astronaut).max() > 60


def test_what_stands_in_the_way_is_told_in_one_line(file, tmp_path, tiny_checkpoint, monkeypatch):
    before = file.read_bytes()
    for arguments, code, words in (
        (["-o", file], 1, "exists already; .*--overwrite"),
        (["-o", tmp_path / "swap.pt"], 2, r"file ends in \.onnx"),
        (["-o", tmp_path / "swap.onnx", "--format", "tflite"], 2, "onnx"),
        (["-o", tmp_path / "nowhere" / "swap.onnx"], 1, "nowhere does not exist"),
        (["-o", tmp_path / "swap.onnx", "-w", tmp_path / "no"], 1, "no such weights"),
    ):
        done = run(*arguments)
        text = done.output if code == 2 else str(done.exception)
        assert done.exit_code == code and re.search(words, " ".join(text.split())), (arguments, text)
    with pytest.raises(UnsupportedOptionError, match="only this library's own network"):
        export_onnx(tmp_path / "swap.onnx", foreign_weights(tmp_path))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = run("-o", tmp_path / "swap.onnx")
    assert done.exit_code == 1 and "pip install 'stylegan-swap[onnx]'" in str(done.exception)
    assert not list(tmp_path.glob("*.onnx")) and file.read_bytes() == before


def foreign_weights(folder: Path) -> Path:
    """A generator alone, as ``convert`` writes it."""
    from stylegan_swap.nn.stylegan2.generator import Generator

    torch.save({"g_ema": Generator(8, 4, 2, channels={4: 3, 8: 2}).state_dict()}, folder / "stylegan2.pt")
    return folder / "stylegan2.pt"


def test_a_file_that_fails_its_checks_does_not_appear(file, tmp_path, tiny_checkpoint, monkeypatch):
    target = tmp_path / "swap.onnx"
    target.write_bytes(b"an older file")
    whole = file.read_bytes()
    monkeypatch.setattr(onnx_file, "_write", lambda _graph, path, _: path.write_bytes(whole[:-9]))
    with pytest.raises(ExportError, match=r"onnx\.checker refuses it"):
        export_onnx(target, tiny_checkpoint, overwrite=True)
    monkeypatch.setattr(onnx_file, "_write", lambda _graph, path, _: path.write_bytes(whole))
    monkeypatch.setattr(onnx_file, "TOLERANCE", 1e-9)
    with pytest.raises(ExportError, match=r"differs from torch by .*nothing was written"):
        export_onnx(target, "default", overwrite=True)
    assert target.read_bytes() == b"an older file" and list(tmp_path.iterdir()) == [target]


def test_gauss_and_jordan_solve_where_pivots_are_zero():
    random = np.random.default_rng(0)
    matrix, right = random.normal(size=(1, 30, 30)), random.normal(size=(1, 30, 2))
    matrix[0, np.arange(30), np.arange(30)] = 0
    ports = [DOUBLE[1, 30, 30], DOUBLE[1, 30, 2]]
    model = gauss_jordan.to_model_proto(input_types=ports, output_types=[DOUBLE[1, 30, 2]], ir_version=9)
    solve = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [one.name for one in solve.get_inputs()]
    found = solve.run(None, dict(zip(names, (matrix, right), strict=True)))[0]
    np.testing.assert_allclose(found, np.linalg.solve(matrix, right), atol=1e-9)


def test_a_feed_is_of_two_square_faces():
    face = torch.zeros(1, 3, 64, 64)
    for other in (face[:, :, :32], face.expand(2, -1, -1, -1), torch.zeros(1, 3, 32, 32)):
        with pytest.raises(ValueError, match="takes two faces"):
            feed_of(face, other)
