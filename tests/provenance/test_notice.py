"""The notice is shown once, on standard error, and never where it was not wanted."""

import pytest
from typer.testing import CliRunner

from stylegan_swap.cli.main import app
from stylegan_swap.provenance import consent as notice


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_SWAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(notice.QUIET_VARIABLE)
    return tmp_path / "cache"


def test_once_and_on_standard_error(cache, capsys):
    assert notice.show_once("swap") and not notice.show_once("swap")
    written = capsys.readouterr()
    assert written.out == "" and written.err.strip() == notice.NOTICE
    assert [path.name for path in cache.iterdir()] == ["notice-1"]


def test_other_commands_do_without(cache, capsys):
    for command in (None, "doctor", "verify", "train"):
        assert not notice.show_once(command)
    assert capsys.readouterr().err == "" and not cache.exists()


def test_quiet_does_not_use_it_up(cache, monkeypatch):
    assert not notice.show_once("swap", quiet=True)
    monkeypatch.setenv(notice.QUIET_VARIABLE, "1")
    assert not notice.show_once("swap")
    monkeypatch.setenv(notice.QUIET_VARIABLE, "0")
    assert notice.show_once("swap")


def test_a_cache_that_cannot_be_written_does_not_stop_the_work(tmp_path, cache, capsys):
    cache.write_text("a file where the folder should be")
    assert notice.show_once("swap")
    assert notice.NOTICE in capsys.readouterr().err


def test_the_command_line_shows_it(cache):
    runner = CliRunner()
    for arguments, shown in ((["--quiet", "swap", "a", "b"], False), (["swap", "a", "b"], True)):
        assert (notice.NOTICE in runner.invoke(app, arguments).stderr) is shown
    assert notice.NOTICE not in runner.invoke(app, ["swap", "a", "b"]).stderr
