"""C2PA manifests with the real library and a chain made here: signed, read back, seen when broken."""

import datetime
import json
import sys

import numpy as np
import pytest
from PIL import Image

from stylegan_swap.errors import ImageReadError, ImageWriteError, MissingDependencyError
from stylegan_swap.provenance import credentials as content_credentials
from stylegan_swap.provenance.credentials import Credentials, read_manifest
from stylegan_swap.provenance.metadata import COMPOSITE_WITH_TRAINED, TRAINED, read_marks
from stylegan_swap.provenance.photo_file import (
    write_photo,
)
from stylegan_swap.provenance.watermark import Kind, read_watermark

c2pa = pytest.importorskip("c2pa")
x509 = pytest.importorskip("cryptography.x509")

DAY = datetime.timedelta(days=1)


def make_chain(folder, kind="ec"):
    """An authority of our own and a certificate by it, as docs/responsible-use.md says."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    def name(text):
        return x509.Name(
            [
                x509.NameAttribute(x509.NameOID.COMMON_NAME, text),
                x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Studio of Tests"),
            ]
        )

    def usage(sign, issue):
        return x509.KeyUsage(sign, False, False, False, False, issue, issue, False, False)

    def builder(subject, public):
        now = datetime.datetime.now(datetime.timezone.utc)
        made = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("authority"))
        made = made.public_key(public).serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - DAY).not_valid_after(now + 30 * DAY)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
        return made.add_extension(issuer, False)

    authority = ec.generate_private_key(ec.SECP256R1())
    key = {
        "ec": lambda: ec.generate_private_key(ec.SECP384R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
    }[kind]()
    root = builder("authority", authority.public_key())
    root = root.add_extension(x509.BasicConstraints(True, None), True).add_extension(usage(False, True), True)
    leaf = builder("signer", key.public_key()).add_extension(x509.BasicConstraints(False, None), True)
    leaf = leaf.add_extension(usage(True, False), True)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    pem = serialization.Encoding.PEM
    chain = [each.sign(authority, hashes.SHA256()).public_bytes(pem) for each in (leaf, root)]
    (folder / "chain.pem").write_bytes(b"".join(chain))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *form))
    return Credentials(folder / "chain.pem", folder / "key.pem")


@pytest.fixture(scope="module")
def credentials(tmp_path_factory):
    return make_chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture(scope="module")
def small(hopper):
    return np.ascontiguousarray(hopper[100:260, 150:330])


def content(path):
    with path.open("rb") as stream:
        mime = Image.MIME[Image.open(path).format]
        return json.loads(c2pa.Reader(mime, stream).json())


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_a_swap_is_signed_with_the_photo_as_its_parent(tmp_path, small, credentials, suffix):
    photo, out = tmp_path / "photo.jpg", tmp_path / f"out.{suffix}"
    Image.fromarray(small).save(photo)
    write_photo(out, small, result=Kind.SWAP, parent=photo, credentials=credentials)
    assert read_manifest(out) == content_credentials.Manifest(
        "Valid", True, f"stylegan_swap {content_credentials.__version__}", "Studio of Tests"
    )
    whole = content(out)
    manifest = whole["manifests"][whole["active_manifest"]]
    (ingredient,) = manifest["ingredients"]
    assert (ingredient["relationship"], ingredient["format"]) == ("parentOf", "image/jpeg")
    # A thumbnail would give away the photo that was swapped into.
    assert "thumbnail" not in ingredient and "thumbnail" not in manifest
    opened, edited = next(
        each["data"]["actions"] for each in manifest["assertions"] if each["label"].startswith("c2pa.actions")
    )
    assert (opened["action"], edited["action"]) == ("c2pa.opened", "c2pa.edited")
    assert opened["parameters"]["ingredients"]
    assert edited["digitalSourceType"] == COMPOSITE_WITH_TRAINED
    # The other marks are still there.
    assert read_marks(out).synthetic and read_watermark(np.array(Image.open(out))).kind is Kind.SWAP
    assert list(tmp_path.glob(".*")) == []


def test_a_photo_from_memory_and_a_generated_picture_are_created(tmp_path, small, credentials):
    for result, source_type in ((Kind.SWAP, COMPOSITE_WITH_TRAINED), (Kind.GENERATED, TRAINED)):
        out = tmp_path / f"{result.name}.png"
        write_photo(out, small, result=result, source_type=source_type, credentials=credentials)
        whole = content(out)
        manifest = whole["manifests"][whole["active_manifest"]]
        (action,) = manifest["assertions"][0]["data"]["actions"]
        assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", source_type)
        assert read_manifest(out).state == "Valid" and read_manifest(out).synthetic


def test_the_manifest_of_the_photo_is_carried_along(tmp_path, small, credentials):
    first, second = tmp_path / "first.png", tmp_path / "second.png"
    write_photo(first, small, result=Kind.GENERATED, source_type=TRAINED, credentials=credentials)
    write_photo(second, small, result=Kind.SWAP, parent=first, credentials=credentials)
    assert len(content(second)["manifests"]) == 2


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_other_kinds_of_keys(tmp_path, small, kind):
    out = tmp_path / "out.png"
    write_photo(out, small, result=Kind.SWAP, credentials=make_chain(tmp_path, kind))
    assert read_manifest(out).state == "Valid"


def test_a_changed_file_is_seen(tmp_path, small, credentials):
    out = tmp_path / "out.png"
    write_photo(out, small, result=Kind.SWAP, credentials=credentials)
    data = bytearray(out.read_bytes())
    place = data.index(b"IDAT") + 40
    data[place] ^= 255
    out.write_bytes(data)
    found = read_manifest(out)
    assert found.state == "Invalid" and found.synthetic


def test_the_environment_names_the_files(tmp_path, small, credentials, monkeypatch):
    monkeypatch.setenv(content_credentials.CERTIFICATES_VARIABLE, str(credentials.certificates))
    with pytest.raises(ImageWriteError, match="STYLEGAN_SWAP_C2PA_KEY"):
        write_photo(tmp_path / "a.png", small, result=Kind.SWAP)
    monkeypatch.setenv(content_credentials.KEY_VARIABLE, str(credentials.key))
    write_photo(tmp_path / "a.png", small, result=Kind.SWAP)
    write_photo(tmp_path / "b.png", small, result=Kind.SWAP, mark=False)
    write_photo(tmp_path / "sheet.png", small)
    assert read_manifest(tmp_path / "a.png").synthetic
    assert read_manifest(tmp_path / "b.png") is None
    assert read_manifest(tmp_path / "sheet.png") is None


def test_without_credentials_nothing_is_signed(tmp_path, small):
    assert Credentials.from_environment({}) is None
    write_photo(tmp_path / "a.png", small, result=Kind.SWAP)
    assert read_manifest(tmp_path / "a.png") is None


def test_unusable_credentials_leave_no_file(tmp_path, small, credentials):
    (tmp_path / "text").write_text("no key")
    cases = [
        (Credentials(tmp_path / "absent.pem", credentials.key), r"absent\.pem: cannot be read"),
        (Credentials(credentials.certificates, tmp_path / "text"), "no usable private key"),
        (Credentials(tmp_path / "text", credentials.key), "text: "),
    ]
    for broken, message in cases:
        with pytest.raises(ImageWriteError, match=message):
            write_photo(tmp_path / "out.png", small, result=Kind.SWAP, credentials=broken)
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_without_the_package_the_error_says_what_to_install(tmp_path, small, credentials, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    assert not content_credentials.installed()
    with pytest.raises(MissingDependencyError, match=r"pip install 'stylegan-swap\[c2pa\]'"):
        write_photo(tmp_path / "a.png", small, result=Kind.SWAP, credentials=credentials)
    write_photo(tmp_path / "a.png", small, result=Kind.SWAP)


def test_files_that_are_no_pictures(tmp_path):
    with pytest.raises(ImageReadError):
        read_manifest(tmp_path / "absent.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ImageReadError):
        read_manifest(tmp_path / "text.png")


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_clip_is_signed_with_the_clip_it_was_made_of(
    credentials, astronaut, hopper, tmp_path, monkeypatch, suffix
):
    from video_clips import panned, write_clip

    from stylegan_swap import swap_video
    from stylegan_swap.verify import verify_file

    monkeypatch.setenv("STYLEGAN_SWAP_C2PA_CERTIFICATES", str(credentials.certificates))
    monkeypatch.setenv("STYLEGAN_SWAP_C2PA_KEY", str(credentials.key))
    clip = write_clip(tmp_path / "clip.mp4", panned(astronaut, 2))
    output = tmp_path / f"out{suffix}"
    swap_video(hopper, clip, output, method="paste")
    verdict = verify_file(output)
    assert verdict.manifest.state == "Valid" and verdict.manifest.synthetic
    assert verdict.manifest.signer == "Studio of Tests" and verdict.marks.synthetic
    with output.open("rb") as stream:
        found = json.loads(c2pa.Reader("video/mp4", stream).json())
    ingredients = found["manifests"][found["active_manifest"]]["ingredients"]
    assert [one["title"] for one in ingredients] == ["attribute clip"]
    assert sorted(child.name for child in tmp_path.iterdir()) == ["clip.mp4", output.name]
    # One byte of the pictures changed since.
    content = bytearray(output.read_bytes())
    place = content.index(b"mdat") + 200
    content[place] ^= 1
    output.write_bytes(content)
    assert read_manifest(output).state == "Invalid"
    notes = swap_video(hopper, clip, tmp_path / "out.mkv", method="paste").notes
    assert any("no C2PA manifest" in note for note in notes)
