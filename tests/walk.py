"""Walks the first twenty minutes of three new users, in a real terminal and a real browser.

    python -m tests.walk [student] [engineer] [author]

Each types the commands of README and docs/ (it is an error if these do not contain the command), and looks for what a
person should see. The script prints each command with the seconds that it took. Settings added to a command make a study
shorter. The script needs chromium and the test extras, takes some minutes, and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pty
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
from playwright.sync_api import Page, expect, sync_playwright

from tests.command import DASHBOARD, free_port, tables

ROOT = Path(__file__).resolve().parents[1]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
PROMPT = "walker> "
CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07")
LONGEST_S = 300


def documented() -> str:
    """Every block of commands in README and docs/, with the spaces of the text."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    blocks = [re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL) for page in pages]
    return "\n".join(block for found in blocks for block in found)


class Shell:
    """A person's bash in a terminal of 100 columns."""

    def __init__(self, folder: Path, name: str, **environment: str) -> None:
        self._name = name
        self._shown, self._lock = "", threading.Lock()
        own = {"PS1": PROMPT, "TERM": "xterm-256color", "COLUMNS": "100", "RAY_USAGE_STATS_ENABLED": "0"}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            os.execvpe("bash", ["bash", "--norc", "--noprofile"], os.environ | own | {"PATH": path} | environment)
        threading.Thread(target=self._read, daemon=True).start()
        self.until(PROMPT)

    def type(self, command: str, more: str = "", *, wait: bool = True) -> str:
        """Types a command of the documents, and `more` after it; returns what it shows until the prompt is back."""
        assert command in documented(), f"no page has the command {command}"
        return self.type_other(f"{command} {more}".strip(), wait=wait)

    def type_other(self, command: str, *, wait: bool = True) -> str:
        """Types what stands in no page, such as a command that was shown."""
        begun = time.monotonic()
        os.write(self._terminal, f"{command}\n".encode())
        shown = self.until(f"\n{PROMPT}") if wait else ""
        print(f"  {self._name}$ {command}" + (f"    ({time.monotonic() - begun:.0f} s)" if wait else ""), flush=True)
        return shown

    def _read(self) -> None:
        """Reads all that is shown, whether or not anybody waits for it: else what shows it would wait."""
        with contextlib.suppress(OSError):  # it was closed
            while data := os.read(self._terminal, 65536).decode(errors="replace"):
                with self._lock:
                    self._shown += CODES.sub("", data).replace("\r\n", "\n").replace("\r", "\n")

    def until(self, text: str) -> str:
        """Waits until the text is shown, and returns what came up to its end."""
        end = time.monotonic() + LONGEST_S
        while True:
            with self._lock:
                before, found, after = self._shown.partition(text)
                if found:
                    self._shown = after
                    return before + found
            assert time.monotonic() < end, f"{text!r} was not shown:\n{before}"
            time.sleep(0.1)

    def press_ctrl_c(self) -> str:
        """Returns what is shown from then on, until the prompt is back."""
        os.write(self._terminal, b"\x03")
        return self.until(PROMPT)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._terminal, b"\x03\nexit\n")
            time.sleep(0.5)
        os.close(self._terminal)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGHUP)
        os.waitpid(self._pid, 0)


def look_for(shown: str, *patterns: str) -> None:
    """All must be in what is shown, and no traceback."""
    for pattern in patterns:
        assert re.search(pattern, shown), f"{pattern!r} is not in:\n{shown}"
    assert "Traceback" not in shown, shown


@contextlib.contextmanager
def browser() -> Iterator[Page]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, headless=True, args=["--no-sandbox"])
        yield opened.new_page()
        opened.close()


def student(folder: Path) -> None:
    """Twenty minutes, a laptop, no cluster: which activation is best, and what else can be asked?"""
    shell = Shell(folder, "student")
    begun = time.monotonic()
    shown = shell.type_other("infomax-tune sweep quickstart")  # what `make sweep` ends with
    look_for(shown, "starting Ray", "epochs/s", "writing the report", "60 trials: 60 done", "effective\n? *rank|rank")
    look_for(shown, r"\ntanh .*±.*×÷", r"\nreport: file://\S+")
    print(f"  student: the answer after {time.monotonic() - begun:.0f} s", flush=True)
    finding = shown.partition("\ncurves: ")[2].partition("\n")[2]
    look_for(finding, "Effective rank: ", "leads")
    with browser() as page:
        page.goto(re.findall(r"report: (file://\S+)", shown)[-1])
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert " ".join(finding.split())[:40] in " ".join(page.locator("body").inner_text().split())
    look_for(shell.type("infomax-tune init my_study"), "my_study.yaml")
    assert (folder / "my_study.yaml").exists()
    shown = shell.type("infomax-tune sweep quickstart --set 'seed={range: [1, 20]}'", "--no-report")
    look_for(shown, "60 of 120 trials to train", "120 trials: 120 done")
    shell.type("infomax-tune sweep quickstart --set lambda_tc=0.1,1,10 --out results/lambda", "--no-report")
    shown = shell.type("infomax-tune compare results/quickstart results/lambda")
    look_for(shown, r"lambda_tc", "all metrics, with intervals: file://")
    look_for(shell.type("infomax-tune run activation=tanh dataset=digits epochs=20"), "effective rank")
    # an activation of one's own, as the page on them has it
    page_ = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n# my_swish.py\n(.*?)```", page_, flags=re.DOTALL)
    (folder / "my_swish.py").write_text(blocks[-1], encoding="utf-8")
    look_for(shell.type_other("infomax-tune check-part my_swish.py:swish"), "packs", "loops")
    own = shell.type("infomax-tune sweep quickstart --set activation=relu,my_swish.py:swish --out results/swish")
    look_for(own, "20 trials: 20 done", r"\nswish .*±", "Effective rank: ")
    look_for(shell.type("infomax-tune list"), "quickstart", "lambda")
    shell.type("infomax-tune tensorboard results/quickstart", wait=False)
    address = re.findall(r"http://\S+#timeseries", shell.until("(Press CTRL+C to quit)"))[0]
    with browser() as page:
        page.goto(address)
        expect(page.locator("scalar-card").first).to_be_visible(timeout=60_000)
    look_for(shell.press_ctrl_c())
    shell.close()


def engineer(folder: Path) -> None:
    """A cluster: does it join, keep strangers out, show itself, and survive?"""
    address = f"127.0.0.1:{free_port()}"
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
    stranger, head, shell = (
        Shell(folder, "stranger", RAY_AUTH_MODE="token", HOME=str(folder)),
        Shell(folder, "head", PYTHONPATH=str(DASHBOARD), **token),
        Shell(folder, "engineer", **token),
    )
    port = address.rpartition(":")[2]
    head.type_other(
        f"ray start --head --port={port} --block --num-cpus=2 --include-dashboard=false --temp-dir={folder}/ray",
        wait=False,
    )
    head.until("--block")
    head.until("Ray runtime started")
    sweep = "infomax-tune sweep quickstart --set epochs=20 --address auto --out /shared/quick --no-report"
    assert sweep in documented()
    sweep = sweep.replace("auto", address).replace("/shared", f"{folder}/shared")
    begun = time.monotonic()
    look_for(stranger.type_other(sweep), "RAY_AUTH_TOKEN")
    print(f"  stranger: refused after {time.monotonic() - begun:.0f} s", flush=True)
    look_for(shell.type_other(sweep), "60 trials: 60 done", "results: ")
    longer = sweep.replace("epochs=20", "epochs=2000").replace("quick ", "long ")
    shell.type_other(longer, wait=False)
    shell.until("epochs/s")
    other = Shell(folder, "engineer's other terminal")
    look_for(
        other.type_other(f"infomax-tune status {folder}/shared/long"), "running", r"127\.0\.0\.1|" + os.uname().nodename
    )
    look_for(other.type_other(f"infomax-tune list {folder}/shared"), "quick", "long", "running")
    look_for(other.type_other(f"infomax-tune stop {folder}/shared/long"))
    look_for(shell.until(f"\n{PROMPT}"), "infomax-tune resume")
    shell.type_other(f"infomax-tune resume {folder}/shared/long --address {address} --no-report", wait=False)
    shell.until("epochs/s")
    shell.press_ctrl_c()
    look_for(other.type_other(f"infomax-tune verify {folder}/shared/long"), "no damage")
    look_for(head.press_ctrl_c())
    for each in (stranger, head, shell, other):
        each.close()


def author(folder: Path) -> None:
    """A paper: numbers to trust, tables and figures to print, a run that can be repeated."""
    shell = Shell(folder, "author")
    short = "--set dataset=digits --set epochs=40 --set 'seed={range: [1, 10]}'"
    look_for(
        shell.type("infomax-tune sweep activation_study --dry-run", short),
        "180 trials in 18 cells",
        "power: ",
        "nothing was written",
    )
    # baselines in a grid over two data sets: each is compared within its own
    two = "--set dataset=digits,synthetic_2d --set objective=infomax,random --set optimizer=adam,sgd --set epochs=10"
    shown = shell.type_other(f"infomax-tune sweep quickstart {two} --out results/two")
    look_for(shown, "360 trials: 360 done", r"\nrandom ", r"report: file://")
    text = (folder / "results/two/analysis/report.html").read_text(encoding="utf-8")
    assert "best dataset" not in text
    look_for(
        shell.type_other("infomax-tune analyze results/two --width 5.5 --format pdf --output-dir paper"), "report.html"
    )
    shell.type("infomax-tune sweep activation_study", short, wait=False)
    shell.until("epochs/s")
    time.sleep(2)
    shown = shell.press_ctrl_c()
    resume = re.findall(r"infomax-tune resume \S+", shown)[-1]
    look_for(shell.type_other(resume), "180 trials: 180 done", r"report: file://")
    look_for(shell.type("infomax-tune analyze results/activation_study --format pdf,svg --latex"), "report.html")
    made = folder / "results/activation_study/analysis"
    assert {path.suffix for path in made.rglob("*")} >= {".pdf", ".svg", ".tex"}
    look_for(shell.type("infomax-tune evaluate results/activation_study --probe"), "every metric asked for")
    assert pd.read_csv(folder / "results/activation_study/results.csv")["probe_accuracy"].notna().all()
    look_for(shell.type("infomax-tune verify results/activation_study"), "no damage")
    look_for(shell.type("infomax-tune selfcheck"), "digest")
    again = "infomax-tune sweep results/activation_study/sweep.yaml --out results/again --no-report"
    look_for(shell.type_other(again), "180 trials: 180 done")
    assert tables(folder / "results/again") == tables(folder / "results/activation_study")
    shell.close()


WALKS: dict[str, Callable[[Path], None]] = {"student": student, "engineer": engineer, "author": author}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("who", nargs="*", choices=[*WALKS, []], help="default: all three")
    for name in parser.parse_args().who or WALKS:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name}: {WALKS[name].__doc__}", flush=True)
            WALKS[name](Path(folder))
        print(f"{name}: found everything, in {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
