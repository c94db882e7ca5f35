"""display.py: what a sweep shows, in a real terminal's own terms where there is one."""

from __future__ import annotations

import contextlib
import io
import os

import pytest
from rich.console import Console

from infomax_tune.follow import display
from infomax_tune.follow.progress import PackState, SweepState


def state(**changes: object) -> SweepState:
    content = {
        "phase": "training",
        "counts": {"done": 3, "diverged": 1, "failed": 0, "running": 2, "left": 4},
        "elapsed_s": 61.0,
        "epochs_per_s": 12.345,
        "eta_s": 3661.0,
        "share": 0.42,
        "packs": [PackState("tanh-k16-01234567", [1, 2, 3, 7], 5, 30, -1.23456, 14.5)],
    }
    return SweepState(**content | changes)  # pyright: ignore[reportArgumentType]


def drawn(shown: SweepState, height: int = 50) -> list[str]:
    console = Console(file=io.StringIO(), width=110)
    with console.capture() as capture:
        console.print(display.table(shown, height))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_the_table_shows_counts_speed_time_and_a_row_a_pack() -> None:
    lines = drawn(state())
    assert "42%" in lines[0]
    assert "3 done  1 diverged  2 running  4 left" in lines[0]
    assert lines[1] == "12.3 epochs/s  1:01 elapsed  about 1:01:01 left"
    assert lines[2].split() == ["running", "seeds", "epoch", "loss", "effective", "rank"]
    assert lines[3].split() == ["tanh-k16-01234567", "1-3,", "7", "5/30", "-1.235", "14.5"]


def test_where_other_machines_train_each_pack_s_is_shown() -> None:
    packs = [PackState("tanh-k16-01234567", [1, 2], 5, 30, host="b"), PackState("relu-k16-01234567", [1], 0, 30)]
    spread = state(packs=packs, host="a")
    assert drawn(spread)[2].split() == ["running", "seeds", "host", "epoch", "loss", "effective", "rank"]
    assert drawn(spread)[3].split() == ["tanh-k16-01234567", "1-2", "b", "5/30"]
    assert display.where(spread) == ["on b: tanh-k16-01234567 1-2 (5/30)"]
    assert display.where(state(packs=packs, host="b")) == []


def test_failures_show_and_what_is_not_known_does_not() -> None:
    counts = {"done": 0, "diverged": 0, "failed": 2, "running": 0, "left": 4}
    lines = drawn(state(counts=counts, eta_s=None, packs=[], phase="starting Ray"))
    later = drawn(state(elapsed_s=61.3, counts=counts, eta_s=None, packs=[], phase="starting Ray"))
    assert later[1][0] in "/-\\"  # it turns
    assert "0 done  2 failed  0 running  4 left" in lines[0]
    assert lines[1] == "| starting Ray ...  1:01 elapsed"  # nothing is trained, so there is no speed
    assert len(lines) == 2


def test_more_packs_than_lines_are_counted() -> None:
    """A cluster of 200 slots in a terminal of 24 lines."""
    packs = [PackState(f"tanh-k{i}-01234567", [1], 1, 2, None, None) for i in range(200)]
    lines = drawn(state(packs=packs), height=24)
    assert len(lines) <= 24
    assert lines[-1].strip() == "and 181 more"


def test_plain_lines_come_at_a_modest_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most every two seconds, and after an hour once a minute."""
    now = [0.0]
    monkeypatch.setattr("infomax_tune.follow.display.time.monotonic", lambda: now[0])
    out, err = io.StringIO(), io.StringIO()
    lines = display.Lines(out, err)
    for tick in range(100):
        now[0] = tick / 10
        lines.show(state(elapsed_s=now[0], share=0.1 + tick / 1000))
    assert len(out.getvalue().splitlines()) == 5
    for tick in range(600):
        now[0] = 3600 + tick
        lines.show(state(elapsed_s=now[0], share=0.3 + tick / 10000))
    assert len(out.getvalue().splitlines()) == 5 + 10
    lines.show(state(counts={"done": 9, "diverged": 1, "failed": 0, "running": 0, "left": 0}, share=1.0, eta_s=0.0))
    assert (
        out.getvalue().splitlines()[-1] == "10/10 trials  1 diverged  100% of the epochs  12.3 epochs/s  1:01 elapsed"
    )
    assert err.getvalue() == ""


def test_a_line_says_all_of_it() -> None:
    assert display.headline(state()) == (
        "4/10 trials  1 diverged  2 running  4 left  42% of the epochs  12.3 epochs/s  1:01 elapsed  about 1:01:01 left"
    )


def test_quiet_tells_problems_only_and_verbose_details_too() -> None:
    for quiet, verbose, told in ((True, False, ""), (False, False, "said\n"), (False, True, "said\ndetail\n")):
        out, err = io.StringIO(), io.StringIO()
        with display.choose(out, err, quiet=quiet, verbose=verbose) as shown:
            shown.say("said")
            shown.detail("detail")
            shown.warn("warned")
            shown.show(state(share=0.0))
        assert (out.getvalue(), err.getvalue()) == (told, "warned\n")


def test_a_terminal_gets_the_table_and_a_dumb_one_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = os.openpty()
    os.set_blocking(leader, False)

    def screen() -> str:
        parts = []
        with contextlib.suppress(BlockingIOError):
            while True:
                parts.append(os.read(leader, 100_000))
        return b"".join(parts).decode()

    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setenv("TERM", "dumb")
        assert isinstance(display.choose(terminal, terminal), display.Lines)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)
        with display.choose(terminal, terminal) as shown:
            shown.warn("a [bold]problem[/bold]")
            shown.show(state())
        text = screen()
        assert "a [bold]problem[/bold]" in text  # what a message holds is no markup
        assert "tanh-k16-01234567" in text
        assert "\x1b[33m" in text  # yellow
        assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is shown again

        monkeypatch.setenv("NO_COLOR", "1")
        with display.choose(terminal, terminal) as shown:
            shown.warn("a problem")
            shown.show(state())
        assert "\x1b[3" not in screen()
    os.close(leader)


def test_a_reader_that_has_gone_does_not_end_the_sweep() -> None:
    """`infomax-tune sweep ... | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    lines = display.Lines(stream, stream)
    lines.say("nobody hears")
    lines.show(state())
    with pytest.raises(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize(
    ("seeds", "text"), [([1], "1"), ([1, 2, 3], "1-3"), ([1, 3, 4, 9], "1, 3-4, 9"), ([5, 2], "5, 2"), ([], "")]
)
def test_seeds_are_written_as_people_do(seeds: list[int], text: str) -> None:
    assert display.spans(seeds) == text
