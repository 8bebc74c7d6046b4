"""SIGKILL at every moment of every writer leaves the old file or the new one, and a second run mends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from security.writers import WRITERS
from video_clips import decoded, packets, panned, write_clip

from stylegan_swap import Swapper, swap_video

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="fork")
TESTS = Path(__file__).parent.parent


def run_script(*arguments: object) -> str:
    # One thread: what is forked must not wait for threads that are not forked with it.
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_every_writer_at_every_moment(tmp_path):
    report = json.loads(run_script(TESTS / "security" / "kill_points.py", tmp_path, *WRITERS))
    assert set(report) == set(WRITERS)
    faults = [fault for _, found in report.values() for fault in found]
    assert faults == []
    # Creating, naming and the folder's own record at least; rows are appended in one go.
    few = {name: moments for name, (moments, _) in report.items() if moments < 3}
    assert set(few) <= {"batch_row", "evaluation_row", "history"} and all(few.values()), few


KILL_WHILE_JOINING = """
import os, signal, sys
from stylegan_swap import swap_video
moment, (identity, clip, output) = sys.argv[1], sys.argv[2:]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if moment == "before it has its name":
    from stylegan_swap.files import atomic
    replace = os.replace
    def choosy(source, target):
        if str(target).endswith(".mp4"):
            die()
        replace(source, target)
    atomic.os.replace = choosy
else:
    from stylegan_swap.video.journal import Journal
    Journal.remove = die
swap_video(identity, clip, output, method="paste", segment=2, overwrite=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before it has its name", "after it has its name"])
def test_joining_a_clip(tmp_path, astronaut, hopper_path, moment):
    clip = write_clip(tmp_path / "clip.mp4", panned(astronaut, 4), sound="aac")
    output = tmp_path / "out.mp4"
    output.write_bytes(b"the old clip")
    with pytest.raises(AssertionError):
        run_script("-c", KILL_WHILE_JOINING, moment, hopper_path, clip, output)
    if moment != "after it has its name":
        assert output.read_bytes() == b"the old clip"
    else:
        assert len(decoded(output)) == 4 and packets(output, "audio") == packets(clip, "audio")
    # Everything was swapped: the same command has only to join, or to tidy up.
    result = swap_video(
        str(hopper_path), clip, output, method=Swapper.from_pretrained("paste"), segment=2, overwrite=True
    )
    assert result.resumed_at == 4 and len(decoded(output)) == 4
    assert not (tmp_path / "out.mp4.parts").exists()
