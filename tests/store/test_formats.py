"""formats.py: a version for each kind of file, a reader for every version ever written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from infomax_tune.errors import DamagedFileError, StoreError
from infomax_tune.store import formats
from infomax_tune.store.files import digest, read_json, write_json
from infomax_tune.store.formats import Content, Format, as_it_is
from infomax_tune.store.trial_folder import TrialFolder
from tests.conftest import MakeConfig
from tests.store.records import leave_record

KINDS = [kind for kind in vars(formats).values() if isinstance(kind, Format)]


def test_a_new_version_is_written_and_what_an_earlier_one_wrote_is_read(tmp_path: Path) -> None:
    def seconds_were_milliseconds(content: Content) -> Content:
        return {"took_s": content["took_ms"] / 1000}

    before = Format("note", {1: as_it_is})
    now = Format("note", {1: seconds_were_milliseconds, 2: as_it_is})
    write_json(tmp_path / "old.json", before, {"took_ms": 1500})
    write_json(tmp_path / "new.json", now, {"took_s": 2.5})
    assert json.loads((tmp_path / "new.json").read_text())["schema"] == 2
    assert read_json(tmp_path / "old.json", now) == {"took_s": 1.5}
    new = read_json(tmp_path / "new.json", now)
    assert new is not None
    assert new["took_s"] == 2.5


def test_what_a_newer_version_wrote_is_neither_read_nor_damage(tmp_path: Path) -> None:
    now, later = Format("note"), Format("note", {1: as_it_is, 2: as_it_is})
    write_json(tmp_path / "note.json", later, {})
    message = r"note.json: written by a newer infomax-tune \(note version 2; this one knows 1\); upgrade to continue."
    with pytest.raises(StoreError, match=message) as caught:
        read_json(tmp_path / "note.json", now)
    assert not isinstance(caught.value, DamagedFileError)


@pytest.mark.parametrize("version", [0, -1, "1", None, 1.5])
def test_a_version_that_nobody_wrote_is_damage(version: object, tmp_path: Path) -> None:
    content = {"schema": version}
    (tmp_path / "note.json").write_text(json.dumps(content | {"sha256": digest(content)}))
    with pytest.raises(DamagedFileError, match="infomax-tune did not write this note"):
        read_json(tmp_path / "note.json", Format("note"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_a_reader_for_each_version_up_to_its_own(kind: Format) -> None:
    assert sorted(kind.readers) == list(range(1, kind.version + 1))


def test_a_newer_checkpoint_leaves_the_records_readable(tmp_path: Path, make_config: MakeConfig) -> None:
    """One version a kind: a new format of one does not refuse the others."""
    finished, under_way = TrialFolder(tmp_path / "finished"), TrialFolder(tmp_path / "under way")
    leave_record(finished, make_config(seed=1))
    write_checkpoint_of_version(99, under_way)
    assert finished.read_record() is not None
    with pytest.raises(StoreError, match="checkpoint version 99"):
        under_way.read_checkpoint()


def write_checkpoint_of_version(version: int, folder: TrialFolder) -> None:
    import numpy as np

    from infomax_tune.store import checkpoint

    newer = Format("checkpoint", dict.fromkeys((1, version), as_it_is))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "CHECKPOINT", newer)
        data = checkpoint.to_bytes(
            checkpoint.Checkpoint("relu-k2-s1-00000000", 1, {"weight": np.ones((2, 2), np.float32)}, [], {})
        )
    assert re.search(rb"schema....99", data)
    folder.path.mkdir(parents=True)
    (folder.path / "checkpoint.safetensors").write_bytes(data)
