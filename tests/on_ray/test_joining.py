"""joining.py: what is said of an address before Ray tries it. `tests/cluster` asks real clusters."""

from __future__ import annotations

import pytest

from infomax_tune.errors import ResourceError
from infomax_tune.on_ray import joining
from tests.command import free_port


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
