"""Kills a writer at every moment at which it touches the disk, and looks at what is left. Run as a script.

The moments are Python's own audit events: opening, renaming, removing, changing a mode. At each, in a process
forked for it, SIGKILL. Prints as JSON what was wrong; nothing was if the list is empty.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import zipfile
from pathlib import Path

from security.writers import WRITERS

EVENTS = {"open", "os.rename", "os.remove", "os.chmod", "os.mkdir", "os.rmdir", "os.truncate"}
MOST = 60
OLD = b"the old file"
GROWING = {"batch_row", "evaluation_row"}
# A history begins anew with its header, which is a whole table as well.
ALSO_WHOLE = {"history": [b"images\n"]}


def contents(folder: Path) -> dict[str, object]:
    found = (path for path in folder.rglob("*") if path.is_file())
    # What a kill leaves of a file that has no name yet is hidden, and nobody reads it.
    return {path.name: meaning(path) for path in found if ".part" not in path.name}


def meaning(path: Path) -> object:
    """What a file says, without what differs by chance; its bytes where it is damaged or nothing differs."""
    content = path.read_bytes()
    if path.suffix == ".safetensors" and content != OLD:
        # The order of the metadata.
        length = int.from_bytes(content[:8], "little")
        return json.loads(content[8 : 8 + length]), content[8 + length :]
    if path.suffix in (".pt", ".ckpt") and content != OLD:
        # The archive's folder is called as the temporary file was.
        with zipfile.ZipFile(path) as archive:
            return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    return content


def killed_at(moment: int, write, folder: Path) -> bool:
    """Whether the writer lived long enough to be killed at that moment."""
    child = os.fork()
    if child == 0:
        count = 0

        def watch(event: str, arguments: tuple) -> None:
            nonlocal count
            if event in EVENTS and arguments and str(folder) in os.fsdecode(str(arguments[0])):
                count += 1
                if count == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        write(folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"the writer failed with {status}")
    return os.WIFSIGNALED(status)


def faults_of(name: str, root: Path) -> tuple[int, list[str]]:
    """How many moments there were, and what was wrong after a kill at one of them."""
    write, faults = WRITERS[name], []
    whole = root / "whole"
    whole.mkdir()
    write(whole)
    new = contents(whole)
    for moment in range(1, MOST):
        folder = root / f"{name}{moment}"
        folder.mkdir()
        old = {}
        if name not in GROWING:
            for file in new:
                (folder / file).write_bytes(OLD)
            if name == "recorded_hash":
                shutil.copytree(whole, folder, dirs_exist_ok=True)
            old = contents(folder)
        if not killed_at(moment, write, folder):
            return moment - 1, faults
        for file, content in contents(folder).items():
            if name in GROWING:
                # A table that grows ends somewhere in a row at worst.
                if not (isinstance(content, bytes) and new[file].startswith(content)):
                    faults.append(f"{name}, moment {moment}: {file} is no beginning of the table")
            elif content not in (old.get(file), new.get(file), *ALSO_WHOLE.get(name, [])):
                faults.append(f"{name}, moment {moment}: {file} is neither the old nor the new one")
        missing = set(old) - set(contents(folder))
        if missing:
            faults.append(f"{name}, moment {moment}: {sorted(missing)} is gone")
        if name not in GROWING:
            write(folder)
            if contents(folder) != new:
                faults.append(f"{name}, moment {moment}: a second run does not mend it")
    return MOST, [*faults, f"{name}: more than {MOST} moments"]


if __name__ == "__main__":
    root = Path(sys.argv[1])
    report = {}
    for name in sys.argv[2:]:
        place = root / f"of_{name}"
        place.mkdir()
        report[name] = faults_of(name, place)
    print(json.dumps(report))
