"""joining.py: what is said of an address before Ray tries it. `tests/cluster` asks real clusters."""

from __future__ import annotations

import time

import pytest

from infomax_tune.errors import ResourceError
from infomax_tune.on_ray import joining
from tests.command import free_port, wait_until


def test_where_nobody_answers_is_said_at_once() -> None:
    with pytest.raises(ResourceError, match=r"no answer at 127.0.0.1:\d+ .*give the address that `ray start --head`"):
        joining.check(f"127.0.0.1:{free_port()}")


def test_ray_client_is_refused_with_the_ways_that_lead_in() -> None:
    with pytest.raises(ResourceError, match=r"Run it there with --address auto, or submit it as a job: ray job submit"):
        joining.check("ray://127.0.0.1:10001")


@pytest.mark.parametrize("address", ["nonsense", "local", ""])
def test_what_cannot_be_made_out_is_left_to_ray(address: str) -> None:
    joining.check(address)


def test_what_answers_otherwise_is_left_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program, or a Ray that does not know the question."""
    import socket

    monkeypatch.setattr(joining, "_PATIENCE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as other:
        joining.check(f"127.0.0.1:{other.getsockname()[1]}")


def test_a_head_that_stops_answering_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(joining, "_LOOK_S", 0.05)
    warnings: list[str] = []
    head = socket.create_server(("127.0.0.1", 0), backlog=100)
    address = f"127.0.0.1:{head.getsockname()[1]}"
    with joining.watching(address, warnings.append):
        time.sleep(0.5)
        assert warnings == []
        head.close()
        wait_until(lambda: bool(warnings))
        time.sleep(0.2)
    (warning,) = warnings
    assert f"the head of the cluster, {address}, does not answer" in warning
