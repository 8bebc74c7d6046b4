"""The list of a batch: what a row may say, and how a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from stylegan_swap import MaskOptions
from stylegan_swap.batch import Job, read_jobs
from stylegan_swap.batch.jobs import check_outputs
from stylegan_swap.errors import BatchError


def listed(folder: Path, text: str) -> list[Job]:
    file = folder / "jobs.csv"
    file.write_text(text, encoding="utf-8")
    return read_jobs(file)


def test_paths_start_at_the_list_and_outputs_have_numbers(tmp_path):
    first, second = listed(tmp_path, "identity,attribute\na.jpg,b.jpg\nsub/c.jpg|d.jpg,/abs/e.jpg\n")
    assert first == Job(0, (str(tmp_path / "a.jpg"),), str(tmp_path / "b.jpg"), "00000.png")
    assert second.identity == (str(tmp_path / "sub/c.jpg"), str(tmp_path / "d.jpg"))
    assert (second.attribute, second.output) == ("/abs/e.jpg", "00001.png")
    assert read_jobs(tmp_path / "jobs.csv", Path("photos"))[0].attribute == "photos/b.jpg"


def test_every_option(tmp_path):
    header = "attribute,identity,output,face,identity_face,structure,appearance,seed"
    header += ",match_colour,detail,refine,mask,keep,mask_blur,mask_padding,#who\n"
    row = 'b.png,a.png,x/y.JPG,2,ref.png,0.5,1,7,yes,0.25,3,hull+predicted,"mouth, eyes",0.1,0 0 0.2 0,Ann\n'
    job, plain = listed(tmp_path, "\ufeff" + header + row + "b.png,a.png" + "," * 14 + "\n")
    mask = MaskOptions("hull+predicted", ("mouth", "eyes"), 0.1, (0, 0, 0.2, 0))
    assert job.options == {
        "face": 2,
        "identity_face": str(tmp_path / "ref.png"),
        "structure": 0.5,
        "appearance": 1.0,
        "seed": 7,
        "match_colour": True,
        "detail": 0.25,
        "refine": 3,
        "mask": mask,
    }
    assert job.output == "x/y.JPG"
    assert job.inputs == (*(str(tmp_path / name) for name in ("a.png", "b.png", "ref.png")),)
    assert job.person == (str(tmp_path / "a.png"), str(tmp_path / "ref.png"), 3, 7)
    assert plain.options == {} and plain.output == "00001.png"
    assert plain.person == (str(tmp_path / "a.png"), "largest")


def test_words_and_photos_as_faces(tmp_path):
    jobs = listed(tmp_path, "identity,attribute,face\na,b,all\na,b,largest\na,b,ann.png\n")
    assert [job.options["face"] for job in jobs] == ["all", "largest", str(tmp_path / "ann.png")]
    assert [len(job.inputs) for job in jobs] == [2, 2, 3]


def test_numbers_are_what_int_reads(tmp_path):
    job = listed(tmp_path, "identity,attribute,face,seed\na,b,\u00b2,\u0663\n")[0]
    # A superscript two is a digit and no number: a photo's name; an Arabic three is a number.
    assert job.options == {"face": str(tmp_path / "\u00b2"), "seed": 3}


def test_what_spreadsheets_write(tmp_path):
    for separator in (";", "\t"):
        text = "identity;attribute;structure;mask;mask_blur;mask_padding;\n"
        text += "a.jpg;b, c.jpg;0,5;hull;0,1;0 0 0,2 0;\n;;;;;;\n"
        [job] = listed(tmp_path, text.replace(";", separator))
        assert job.attribute == str(tmp_path / "b, c.jpg")
        assert job.options == {"structure": 0.5, "mask": MaskOptions("hull", ("",), 0.1, (0, 0, 0.2, 0))}


WRONG_LISTS = [
    ("", ["has no column 'identity'"]),
    ("identity,attribute\n", ["holds no rows"]),
    ("identity,output\na,b.png\n", ["has no column 'attribute'"]),
    ("identity,attribute,strukture\na,b,1\n", ["unknown column 'strukture'", "structure"]),
    ("identity,attribute\na,\n", ["line 2", "attribute is empty"]),
    ("identity,attribute\na,b\n\na,b,c\n", ["line 4", "more cells than the header"]),
    ("identity,attribute,structure\na,b,2\n", ["line 2", "structure is '2'", "from 0 to 1"]),
    ("identity,attribute,structure\na,b,much\n", ["line 2", "structure is 'much'"]),
    ("identity,attribute,seed\na,b,-1\n", ["seed is '-1'", "whole number"]),
    ("identity,attribute,seed\na,b,\u00b2\n", ["line 2", "seed is '\u00b2'", "whole number"]),
    ("identity,attribute,refine\na,b,\u2460\n", ["line 2", "refine is '\u2460'", "whole number"]),
    ("identity,attribute,match_colour\na,b,perhaps\n", ["match_colour is 'perhaps'", "yes or no"]),
    ("identity,attribute,identity_face\na,b,all\n", ["identity_face is 'all'", "one face"]),
    ("identity,attribute,mask\na,b,circle\n", ["line 2", "unknown mask 'circle'"]),
    ("identity,attribute,keep\na,b,ears\n", ["line 2", "unknown region to keep 'ears'"]),
    ("identity,attribute,mask_padding\na,b,0.1 0.2\n", ["four shares"]),
]


def test_a_wrong_list_is_told(tmp_path):
    for text, parts in WRONG_LISTS:
        with pytest.raises(BatchError) as error:
            listed(tmp_path, text)
        for part in ("jobs.csv", *parts):
            assert part in str(error.value)
        assert "\n" not in str(error.value)


def test_no_list(tmp_path):
    with pytest.raises(BatchError, match=r"none\.csv: the list cannot be read"):
        read_jobs(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("identity,attribute\nJosé,b\n".encode("latin-1"))
    with pytest.raises(BatchError, match="UTF-8"):
        read_jobs(tmp_path / "latin.csv")


WRONG_OUTPUTS = [
    *("../a.png", "a/../../b.png", "/etc/a.png", "..\\a.png", "C:\\a.png", "C:a.png", "a//b.png"),
    *("a/./b.png", ".batch/a.png", "a\0.png", "x" * 300 + ".png", "", "results.csv", "a.exe", "a"),
]


def test_outputs_stay_pictures_in_the_folder():
    for output in WRONG_OUTPUTS:
        with pytest.raises(BatchError, match="item 3"):
            check_outputs([Job(3, ("a",), "b", output)])


def test_nothing_is_written_twice():
    with pytest.raises(BatchError, match=r"item 1: output 'A/x\.png' is item 0's as well"):
        check_outputs([Job(0, ("a",), "b", "a/X.png"), Job(1, ("a",), "b", "A/x.png")])
    with pytest.raises(BatchError, match="two items have one number"):
        check_outputs([Job(0, ("a",), "b", "a.png"), Job(0, ("a",), "b", "b.png")])
