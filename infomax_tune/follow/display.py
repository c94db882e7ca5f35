"""What a sweep shows while it runs: a live table in a terminal, plain lines elsewhere, or only problems."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TextIO

from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from infomax_tune.follow.folder_status import FolderStatus
from infomax_tune.follow.progress import STARTING_WORKERS, TRAINING, SweepState
from infomax_tune.process.signals import kept_from_threads
from infomax_tune.process.streams import write_line
from infomax_tune.study.pack import spans

_COLORS = {"done": "green", "diverged": "yellow", "failed": "red", "running": "cyan", "left": "default"}


class Display:
    """Shows only problems, on `err`, as --quiet asks for. Base of the other displays."""

    def __init__(self, err: TextIO) -> None:
        self._err = err

    def say(self, text: str) -> None:
        """Something the user should know."""

    def detail(self, text: str) -> None:
        """Something for a user who asked for details."""

    def warn(self, text: str) -> None:
        """Something that is wrong."""
        write_line(self._err, text)

    def show(self, state: SweepState) -> None:
        """Shows the sweep's progress; called often."""

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[Callable[[str], None]]:
        """While entered, shows a slow step outside of training. Yields a function that changes the text."""
        yield lambda text: None

    def close(self) -> None:
        """Leaves the terminal as it was."""

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Lines(Display):
    """Plain lines for a pipe, a log or CI: the sweep's progress, every few seconds at first, later less often.

    verbose: show details too.
    """

    def __init__(self, out: TextIO, err: TextIO, *, verbose: bool = False) -> None:
        super().__init__(err)
        self._out = out
        self._verbose = verbose
        self._shown = float("-inf")
        self._told: tuple[object, ...] = ()
        self._phase = ""

    def say(self, text: str) -> None:
        write_line(self._out, text)

    def detail(self, text: str) -> None:
        if self._verbose:
            self.say(text)

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[Callable[[str], None]]:
        self.say(f"{what} ...")
        yield lambda text: None

    def show(self, state: SweepState) -> None:
        if state.phase != self._phase:
            self._phase = state.phase
            if state.phase == STARTING_WORKERS:  # it may take long, on a cluster that is busy
                self.say(f"{state.phase} ...")
        now, told = time.monotonic(), (*state.counts.values(), state.share)
        pause = min(60.0, max(2.0, state.elapsed_s / 20))
        complete = state.phase == TRAINING and not state.counts["left"] and not state.counts["running"]
        if told != self._told and (now - self._shown >= pause or complete):
            if state.share > 0 or complete:
                self.say(headline(state))
            self._shown, self._told = now, told


class LiveTable(Display):
    """A table redrawn in place, with a row for each running pack; messages scroll above it."""

    def __init__(self, out: TextIO, err: TextIO, *, verbose: bool = False) -> None:
        super().__init__(err)
        self._console = Terminal(file=out, highlight=False)
        self._verbose = verbose
        self._state: tuple[SweepState, float] | None = None
        self._live = Live(
            console=self._console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=self._drawn,
        )

    def say(self, text: str) -> None:
        self._print(escape(text))

    def detail(self, text: str) -> None:
        if self._verbose:
            self._print(f"[dim]{escape(text)}[/dim]")

    def warn(self, text: str) -> None:
        self._print(f"[yellow]{escape(text)}[/yellow]")
        if not self._err.isatty():  # stderr goes elsewhere, as in 2>problems.log
            super().warn(text)

    def _print(self, markup: str) -> None:
        with contextlib.suppress(OSError):
            self._console.print(markup, soft_wrap=True)

    def show(self, state: SweepState) -> None:
        with contextlib.suppress(OSError):
            is_new_phase = self._state is None or self._state[0].phase != state.phase
            self._state = state, time.monotonic()
            with kept_from_threads():
                self._live.start()
            if is_new_phase:
                self._live.refresh()  # a phase may be over before the table is drawn again

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[Callable[[str], None]]:
        """A spinner and the seconds elapsed."""
        begun, words = time.monotonic(), what

        def change(text: str) -> None:
            nonlocal words
            words = text

        def drawn() -> Text:
            elapsed_s = time.monotonic() - begun
            return Text(f"{_spinner(elapsed_s)} {words} ...  {clock(elapsed_s)}", style="dim")

        live = Live(
            console=self._console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=drawn,
        )
        with contextlib.suppress(OSError), kept_from_threads():
            live.start()
        try:
            yield change
        finally:
            with contextlib.suppress(OSError):
                live.stop()

    def _drawn(self) -> Group | Text:
        """The current table: its clock advances between two states."""
        if self._state is None:
            return Text()
        state, then = self._state
        elapsed_s = state.elapsed_s + time.monotonic() - then
        return table(replace(state, elapsed_s=elapsed_s), self._console.height)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._live.stop()


class Terminal(Console):
    """Uses the size of the terminal it writes to; rich would ask stdin, stdout and stderr, which may differ."""

    @property
    def size(self) -> ConsoleDimensions:  # pyright: ignore[reportIncompatibleMethodOverride]
        with contextlib.suppress(OSError, ValueError):
            columns, lines = os.get_terminal_size(self.file.fileno())
            if columns and lines:
                return ConsoleDimensions(columns, lines)
        return super().size


def choose(out: TextIO, err: TextIO, *, quiet: bool = False, verbose: bool = False) -> Display:
    """The display that suits `out`: a live table if it is a terminal that can move its cursor."""
    if quiet:
        return Display(err)
    if out.isatty() and os.environ.get("TERM") not in (None, "dumb", "unknown"):
        return LiveTable(out, err, verbose=verbose)
    return Lines(out, err, verbose=verbose)


def headline(state: SweepState) -> str:
    """A sweep's progress in one line."""
    counts = state.counts
    parts = [f"{state.ended}/{state.total} trials"]
    parts += [f"{counts[name]} {name}" for name in ("diverged", "failed", "running", "left") if counts[name]]
    parts += [f"{100 * state.share:.0f}% of the epochs", f"{state.epochs_per_s:.3g} epochs/s"]
    parts.append(f"{clock(state.elapsed_s)} elapsed")
    if state.eta_s is not None and counts["running"] + counts["left"]:
        parts.append(f"about {clock(state.eta_s)} left")
    return "  ".join(parts)


def table(state: SweepState, height: int = 50) -> Group:
    """A sweep's progress, with a row for each running pack, as many as fit into `height` lines."""
    counts = Text("  ").join(
        Text(f"{count} {name}", style=_COLORS[name])
        for name, count in state.counts.items()
        if count or name in ("done", "running", "left")
    )
    # only training has a speed
    doing = f"{state.epochs_per_s:.3g} epochs/s" if state.phase == TRAINING else _turning(state)
    speed = f"{doing}  {clock(state.elapsed_s)} elapsed"
    eta = f"  about {clock(state.eta_s)} left" if state.eta_s is not None else ""
    line = Table.grid(padding=(0, 2))
    line.add_row(ProgressBar(total=1.0, completed=state.share, width=30), Text(f"{100 * state.share:.0f}%"), counts)
    packs = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("running", "seeds", *(["host"] if state.is_spread else []), "epoch", "loss", "effective rank"):
        packs.add_column(name, justify="left" if name in ("running", "seeds", "host") else "right")
    room = max(1, height - 5)
    for pack in state.packs[:room]:
        packs.add_row(
            pack.cell,
            spans(pack.seeds),
            *([pack.host] if state.is_spread else []),
            f"{pack.epoch}/{pack.epochs}",
            _number(pack.loss),
            _number(pack.effective_rank),
        )
    if len(state.packs) > room:
        packs.add_row(f"and {len(state.packs) - room} more")
    return Group(line, Text(speed + eta, style="dim"), *([packs] if state.packs else []))


def _turning(state: SweepState) -> str:
    return f"{_spinner(state.elapsed_s)} {state.phase} ..."


def _spinner(elapsed_s: float) -> str:
    """A spinner, in characters that every terminal has."""
    return "|/-\\"[int(elapsed_s * 4) % 4]


def where(state: SweepState) -> list[str]:
    """A line for each machine and its packs, if machines other than the driver's train."""
    hosts: dict[str, list[str]] = {}
    for pack in state.packs:
        if state.is_spread and pack.host:
            hosts.setdefault(pack.host, []).append(f"{pack.cell} {spans(pack.seeds)} ({pack.epoch}/{pack.epochs})")
    return [f"on {host}: {', '.join(packs)}" for host, packs in sorted(hosts.items())]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def clock(seconds: float) -> str:
    """h:mm:ss, or m:ss."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def show_statuses(statuses: Iterable[FolderStatus], *, full: bool = False) -> None:
    """Shows one status after another, in place if stdout is a terminal that can move its cursor.

    full: see `FolderStatus.lines`.
    """
    console = Console(highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        for status in statuses:
            driver = [headline(status.driver), *where(status.driver)] if status.driver else []
            write_line(sys.stdout, "\n".join([*status.lines(full=full), *driver]))
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for status in statuses:
            cells = status.lines(full=full)
            parts = [table(status.driver, console.height // 2)] if status.driver else []
            used = len(console.render_lines(Group(*parts))) if parts else 0
            room = max(2, console.height - used - 2)
            if len(cells) > room:  # the total stays
                total = cells[1 + len(status.cells)]
                cells = [*cells[: room - 2], f"and {len(cells) - room + 1} more lines", total]
            live.update(Group(*parts, Text("\n".join(cells), no_wrap=True)), refresh=True)
