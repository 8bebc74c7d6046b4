"""Signed C2PA manifests ("content credentials") in pictures, MP4 and MOV files, with the user's certificate.

C2PA specification 2.x, sections "Actions" and "Ingredients": a swap is `c2pa.opened` (the attribute photo, as
`parentOf` ingredient) and `c2pa.edited` with IPTC's digital source type; a generated picture is
`c2pa.created`.

Needs the package c2pa-python, and a certificate chain and key that the user has. Without a certificate
nothing is signed: a signature by a key that everyone has would say nothing. No network is used: no time
stamp, no OCSP, no remote manifest.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from stylegan_swap._version import __version__
from stylegan_swap.errors import ImageReadError, ImageWriteError, MissingDependencyError
from stylegan_swap.images import decode
from stylegan_swap.provenance.metadata import COMPOSITE_WITH_TRAINED, SYNTHETIC
from stylegan_swap.provenance.watermark import Kind

#: Names the file with the certificate chain (PEM, the signer's own first), and the file with its private key.
CERTIFICATES_VARIABLE = "STYLEGAN_SWAP_C2PA_CERTIFICATES"
KEY_VARIABLE = "STYLEGAN_SWAP_C2PA_KEY"

_MIME = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "MP4": "video/mp4",
    "MOV": "video/quicktime",
}
# What C2PA can read a parent's manifest from; other photographs are left out of the ingredients.
_PARENTS = {*_MIME.values(), "image/gif", "image/avif", "image/heif", "image/heic"}
_MATROSKA = b"\x1a\x45\xdf\xa3"
_INSTALL = "pip install 'stylegan-swap[c2pa]'"
_ATTRIBUTE = "attribute"
_DESCRIPTIONS = {
    Kind.SWAP: "A face was swapped by a trained network.",
    Kind.GENERATED: "The picture was made by a trained network.",
    Kind.EDITED: "A face was changed by a trained network.",
}
# Thumbnails would carry the photo that was swapped into; the rest would ask other machines.
_SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True)
class Credentials:
    """The signer's files.

    Attributes:
        certificates: PEM file with the chain: the signer's certificate first, its issuers after it.
        key: PEM file with the private key (PKCS #8, not encrypted): EC P-256/384/521, Ed25519 or RSA.
    """

    certificates: Path
    key: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Credentials | None:
        """The files that STYLEGAN_SWAP_C2PA_CERTIFICATES and STYLEGAN_SWAP_C2PA_KEY name; None without both.

        Raises:
            ImageWriteError: only one of the two is set.
        """
        certificates, key = environ.get(CERTIFICATES_VARIABLE), environ.get(KEY_VARIABLE)
        if certificates and key:
            return cls(Path(certificates).expanduser(), Path(key).expanduser())
        if certificates or key:
            missing = KEY_VARIABLE if certificates else CERTIFICATES_VARIABLE
            raise ImageWriteError(f"{missing}: is not set, but its companion is; set both or none")
        return None


@dataclass(frozen=True)
class Manifest:
    """Statements of a file's C2PA manifests.

    Attributes:
        state: "Invalid" (file or manifest changed since it was signed), "Valid" (unchanged; the signer's
            certificate is on no list of this machine) or "Trusted".
        synthetic: whether an action in it names a digital source type of a network's work.
        software: name and version of the program that made the active manifest, where it says.
        signer: organisation or name in the certificate, where it says.
    """

    state: str
    synthetic: bool
    software: str | None = None
    signer: str | None = None


def sign_file(
    path: Path,
    kind: str,
    credentials: Credentials,
    *,
    result: Kind,
    source_type: str = COMPOSITE_WITH_TRAINED,
    parent: Path | None = None,
) -> None:
    """Puts a signed manifest into a picture or a clip that nobody reads yet.

    ``path`` is written anew, so give a temporary file; ``kind`` is its format: PNG, JPEG, WEBP, TIFF, MP4 or
    MOV. What the picture is, ``result``, chooses the action and its description, whose IPTC digital source
    type is ``source_type``. The manifests of ``parent``, the photograph or clip that was edited, are carried
    along as the ingredient's.

    Raises:
        MissingDependencyError: c2pa-python is not installed.
        ImageWriteError: certificate or key cannot be read or do not fit each other or C2PA's rules.
    """
    c2pa = _library()
    # Actions: a manifest must begin with how the picture came to be, opened or created.
    agent = {"name": "stylegan_swap", "version": __version__}
    step: dict[str, Any] = {"digitalSourceType": source_type, "softwareAgent": agent}
    step["description"] = _DESCRIPTIONS[result]
    mime = None if parent is None or result is Kind.GENERATED else _mime_of(parent)
    if mime in _PARENTS:
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_ATTRIBUTE]}}
        actions = [opened, {"action": "c2pa.edited", **step}]
    else:
        actions = [{"action": "c2pa.created", **step}]
    manifest = {
        "claim_generator_info": [agent],
        "format": _MIME[kind],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }
    # Sign into a file beside the picture.
    signer = _signer(c2pa, credentials)
    # A clip may be larger than the memory.
    signed = path.with_name(f"{path.name}.signed.part")
    try:
        builder = c2pa.Builder(manifest, _context(c2pa))
        if parent is not None and mime in _PARENTS:
            title = "attribute clip" if mime.startswith("video/") else "attribute photo"
            ingredient = {"title": title, "relationship": "parentOf", "instance_id": _ATTRIBUTE}
            with parent.open("rb") as stream:
                builder.add_ingredient({**ingredient, "label": _ATTRIBUTE}, mime, stream)
        with path.open("rb") as stream, signed.open("w+b") as written:
            builder.sign(signer, _MIME[kind], stream, written)
        signed.replace(path)
    except (c2pa.C2paError, OSError) as error:
        raise ImageWriteError(
            f"{credentials.certificates}: the C2PA manifest could not be signed ({_line(error)}); the "
            "chain must begin with a certificate that is not its own issuer; see docs/responsible-use.md"
        ) from error
    finally:
        signed.unlink(missing_ok=True)


def read_manifest(path: str | os.PathLike[str]) -> Manifest | None:
    """Statements of the C2PA manifests of a picture or a clip; None where it has none.

    Raises:
        MissingDependencyError: c2pa-python is not installed.
        ImageReadError: the file cannot be read.
    """
    c2pa = _library()
    source = Path(path)
    try:
        mime = _mime_of(source)
        if mime not in _PARENTS:
            return None
        with source.open("rb") as stream:
            reader = c2pa.Reader(mime, stream, context=_context(c2pa))
            state, content = reader.get_validation_state(), json.loads(reader.json())
    except OSError as error:
        raise ImageReadError(f"{source}: cannot be read ({error.strerror}); check the path") from error
    except c2pa.C2paError as error:
        if "ManifestNotFound" in f"{type(error).__name__} {error}":
            return None
        return Manifest("Invalid", False)
    active = content.get("manifests", {}).get(content.get("active_manifest"), {})
    generator = next(iter(active.get("claim_generator_info") or [{}]))
    software = " ".join(str(generator[key]) for key in ("name", "version") if generator.get(key))
    signature = active.get("signature_info") or {}
    source_types = set(_source_types(content.get("manifests", {})))
    return Manifest(
        state or "Invalid",
        bool(source_types & SYNTHETIC),
        software or None,
        signature.get("issuer") or signature.get("common_name"),
    )


def installed() -> bool:
    """Whether manifests can be read and written here."""
    with contextlib.suppress(MissingDependencyError):
        _library()
        return True
    return False


def _library() -> Any:
    try:
        import c2pa
    except (ImportError, OSError, RuntimeError) as error:
        # OSError, RuntimeError: the package is there, its native library is not.
        raise MissingDependencyError(
            f"C2PA manifests need the package c2pa-python ({_line(error)}); {_INSTALL}"
        ) from error
    return c2pa


def _context(c2pa: Any) -> Any:
    return c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))


def _signer(c2pa: Any, credentials: Credentials) -> Any:
    try:
        chain, key = credentials.certificates.read_bytes(), credentials.key.read_bytes()
    except OSError as error:
        raise ImageWriteError(
            f"{error.filename}: cannot be read ({error.strerror}); set {CERTIFICATES_VARIABLE} and "
            f"{KEY_VARIABLE} to PEM files, or unset both"
        ) from error
    info = c2pa.C2paSignerInfo(_algorithm(key, credentials.key), chain, key, None)
    try:
        return c2pa.Signer.from_info(info)
    except c2pa.C2paError as error:
        raise ImageWriteError(
            f"{credentials.certificates}: is no chain that fits {credentials.key} ({_line(error)})"
        ) from error


def _algorithm(key: bytes, path: Path) -> str:
    """C2PA's name of the algorithm that a private key is for."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ImageWriteError(
            f"{path}: is no usable private key ({_line(error)}); give a PEM file"
        ) from error
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(private, ec.EllipticCurvePrivateKey):
        name = {256: "es256", 384: "es384", 521: "es512"}.get(private.curve.key_size)
        if name:
            return name
    raise ImageWriteError(
        f"{path}: C2PA knows keys of P-256, P-384, P-521, Ed25519 and RSA; make one of these"
    )


def _mime_of(path: Path) -> str:
    """By content, as C2PA reads each format in its own way."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp" and not head[8:12].startswith((b"avi", b"hei", b"mif", b"msf")):
        return _MIME["MOV" if head[8:12] == b"qt  " else "MP4"]
    if head.startswith(_MATROSKA):
        return "video/matroska"
    with path.open("rb") as file, decode.open_picture(file, str(path), decode.pixel_limit()) as image:
        return Image.MIME.get(image.format or "", "application/octet-stream")


def _source_types(value: Any) -> Iterator[str]:
    """Every digitalSourceType below a piece of JSON."""
    if isinstance(value, dict):
        kind = value.get("digitalSourceType")
        if isinstance(kind, str):
            yield kind
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _source_types(part)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
