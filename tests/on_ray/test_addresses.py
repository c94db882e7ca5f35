"""addresses.py: what is shown of a tracker's address holds no secret, however odd its password is."""

from __future__ import annotations

import hashlib
import string
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infomax_tune.on_ray.addresses import hide_secrets, without_secrets
from infomax_tune.on_ray.trackers import MlflowTracker
from infomax_tune.store.sweep_folder import SweepFolder


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://127.0.0.1:9", "http://127.0.0.1:9"),
        ("http://user:secret@127.0.0.1:9", "http://127.0.0.1:9"),
        ("https://secret@host/mlflow", "https://host/mlflow"),
        ("http://user:secret@[::1]:5000/x", "http://[::1]:5000/x"),
        ("postgresql+psycopg2://user:secret@host:5432/db?password=secret", "postgresql+psycopg2://host:5432/db"),
        ("https://host/mlflow?token=secret", "https://host/mlflow"),
        ("https://host/mlflow#secret", "https://host/mlflow"),
        ("jdbc:sqlserver://host;password=secret", "..."),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
        ("http://user:p@ss/secret@host/x", "http://host/x"),
        ("http://user:p/secret@host/x", "http://host/x"),
        ("http://user:p?secret@host/x", "http://..."),
        ("http://user:p#secret@host/x", "http://..."),
        ("https://host/x?token=secret@secret", "https://..."),
        ("http://user:secret", "http://..."),
        ("http://user:secret/x", "http://..."),
        ("user:secret@host/x", "..."),
        ("./mlruns", "./mlruns"),
        ("databricks", "databricks"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_user_password_query_and_fragment(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


odd = st.text(string.ascii_letters + string.digits + "@/:?#&=;%+[] \\'\"é", max_size=8)


@given(odd, odd, odd, st.sampled_from(["", "/", "/api/v1"]), st.sampled_from(["", "?token=", "?a=b&key=", "#"]), odd)
def test_no_part_of_a_secret_is_shown(user: str, left: str, right: str, path: str, query: str, tail: str) -> None:
    """SECRET stands for the part of a password or token that matters; what is odd may stand on either side of it."""
    address = f"http://{user}:{left}SECRET{right}@host:5000{path}{query}"
    address += f"{tail}SECRET" if query else ""
    assert "SECRET" not in without_secrets(address)


@given(odd)
def test_what_is_no_secret_is_shown_where_there_is_an_encoded_password(password: str) -> None:
    address = f"http://user:{quote(password, safe='')}@host:5000/mlflow?x=y"
    assert without_secrets(address) == "http://host:5000/mlflow"


def test_addresses_within_a_text_are_shown_the_same_way() -> None:
    text = "API request to http://user:secret@host:9/api failed; see https://host/x?token=secret for more"
    assert hide_secrets(text) == "API request to http://host:9/api failed; see https://host/x for more"


@pytest.mark.parametrize("password", ["secret", "p@ss/secret", "p:/@secret", "p secret", "p?secret", "secret?x"])
def test_no_message_and_no_folder_of_mlflow_holds_its_password(
    password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether in what it logs to or in why it failed."""
    address = f"http://user:{password}@127.0.0.1:9"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    tracker = MlflowTracker(SweepFolder(tmp_path), "quickstart")
    reason = tracker.reason(RuntimeError(f"API request to {address}/api/2.0 failed"))
    assert reason.startswith("API request to http://")
    assert "secret" not in tracker.where + tracker.folder.path.name + reason
    assert hashlib.sha256(address.encode()).hexdigest()[:8] not in tracker.folder.path.name
