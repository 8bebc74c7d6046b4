"""The mark is well-formed whatever the credit says, is found again, and hostile packets are not believed."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from stylegan_swap._version import __version__
from stylegan_swap.errors import ImageReadError
from stylegan_swap.provenance.metadata import (
    COMPOSITE_WITH_TRAINED,
    TRAINED,
    Marks,
    jpeg_segment,
    read_marks,
    xmp_packet,
)
from stylegan_swap.provenance.photo_file import (
    write_photo,
)

GRAY = np.full((8, 8, 3), 128, np.uint8)
DC = "{http://purl.org/dc/elements/1.1/}"


def png_with(packet, path):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet)
    Image.fromarray(GRAY).save(path, pnginfo=info)
    return path


def test_the_packet_says_what_the_iptc_asks():
    assert COMPOSITE_WITH_TRAINED == (
        "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    )
    root = ElementTree.fromstring(xmp_packet())
    namespace = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
    assert [node.text for node in root.iter(namespace + "DigitalSourceType")] == [COMPOSITE_WITH_TRAINED]
    tool = next(root.iter("{http://ns.adobe.com/xap/1.0/}CreatorTool"))
    assert tool.text == f"stylegan_swap {__version__}"


def test_credit_is_escaped():
    credit = {
        "artist": "</rdf:li><evil a='1'>&\"",
        "copyright": "© Zoë\x00\x08 ]]> \ud800",
        "description": "a < b",
        "date": "2024:05:31 10:20:30",
    }
    root = ElementTree.fromstring(xmp_packet(credit=credit))
    texts = {
        tag: "".join(next(root.iter(DC + tag)).itertext()) for tag in ("creator", "rights", "description")
    }
    assert texts == {"creator": credit["artist"], "rights": "© Zoë ]]> ", "description": "a < b"}
    assert not list(root.iter("evil"))
    assert "2024-05-31T10:20:30" in xmp_packet(credit=credit).decode()


def test_a_date_of_another_form_is_left_out():
    assert b"DateCreated" not in xmp_packet(credit={"date": "</rdf:RDF>"})


def test_marks_are_read_back(tmp_path):
    for suffix in ("png", "jpg", "webp", "tif"):
        path = tmp_path / f"o.{suffix}"
        write_photo(path, GRAY, source_type=TRAINED, software="other 2 <beta>", credit={"artist": "A & B"})
        assert read_marks(path) == Marks(TRAINED, "other 2 <beta>")
        assert read_marks(path).synthetic


def test_a_photograph_is_not_marked(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "p.png")
    assert read_marks(tmp_path / "p.png") == Marks() and not Marks().synthetic
    captured = xmp_packet("http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture").decode()
    marks = read_marks(png_with(captured, tmp_path / "c.png"))
    assert marks.source_type.endswith("digitalCapture") and not marks.synthetic


@pytest.mark.parametrize("form", ["attribute", "resource"])
def test_other_ways_of_writing_it_are_understood(tmp_path, form):
    inner = {
        "attribute": f'<rdf:Description e:DigitalSourceType="{TRAINED}"/>',
        "resource": f'<rdf:Description><e:DigitalSourceType rdf:resource="{TRAINED}"/></rdf:Description>',
    }[form]
    packet = (
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        f'xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">{inner}</rdf:RDF>'
    )
    assert read_marks(png_with(packet, tmp_path / "o.png")).source_type == TRAINED


def test_the_mark_is_found_after_the_pixels_too(tmp_path):
    import zlib

    data = png_with("x", tmp_path / "o.png").read_bytes()
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_packet()
    chunk = len(text).to_bytes(4, "big") + b"iTXt" + text + zlib.crc32(b"iTXt" + text).to_bytes(4, "big")
    end = data.rindex(b"IEND") - 4
    (tmp_path / "late.png").write_bytes(data[:end] + chunk + data[end:])
    assert read_marks(tmp_path / "late.png").synthetic


def test_plain_png_text_counts_when_the_xmp_is_lost(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("DigitalSourceType", COMPOSITE_WITH_TRAINED)
    Image.fromarray(GRAY).save(tmp_path / "t.png", pnginfo=info)
    assert read_marks(tmp_path / "t.png").synthetic


def test_broken_and_hostile_packets_count_as_absent(tmp_path):
    (tmp_path / "secret").write_text(TRAINED)
    good = xmp_packet(TRAINED).decode()
    body = good[good.index("<x:xmpmeta") : good.index("<?xpacket end")]
    external = f'<!DOCTYPE r [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]>' + body.replace(TRAINED, "&e;")
    internal = f'<!DOCTYPE r [<!ENTITY e "{TRAINED}">]>' + body.replace(TRAINED, "&e;")
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha"}">' for i in range(12))
    bomb = f"<!DOCTYPE r [{laughs}]>" + body.replace(TRAINED, "&l11;")
    for packet in (good[:-200], "", "no xml", external, internal, bomb, good + " " * 1_100_000):
        path = png_with(packet, tmp_path / "h.png")
        assert read_marks(path) == Marks()
    # The same packet unharmed is believed, so the cases above fail for their own reason.
    assert read_marks(png_with(body, tmp_path / "h.png")).synthetic


def test_a_jpeg_segment_has_a_limit():
    assert len(jpeg_segment(b"x" * 60_000)) == 60_000 + 29 + 4
    with pytest.raises(ValueError, match="does not fit"):
        jpeg_segment(b"x" * 65_510)


def test_files_that_are_no_pictures(tmp_path):
    with pytest.raises(ImageReadError, match=r"absent\.png"):
        read_marks(tmp_path / "absent.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ImageReadError, match="not a picture"):
        read_marks(tmp_path / "text.png")
