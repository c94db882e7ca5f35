"""Times the analysis, report included, on generated studies, against its targets.

    python -m benchmarks.analysis [180] [10000]

Each study is analyzed in a separate process, to measure its peak memory: 180 trials of 100 epochs (6 activations
x 3 widths x 10 seeds) in under 20 s, 10,000 trials (5 activations x 20 widths x 10 lambdas x 10 seeds) in under 3 minutes
and 4 GiB, on 2 cores.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

# trials: (seconds, GiB)
TARGETS = {180: (20.0, 4.0), 10_000: (180.0, 4.0)}

# Run in a new process: writes the study first, then times only the analysis.
CHILD = """
import json, resource, sys, time
from pathlib import Path
trials, out = int(sys.argv[1]), Path(sys.argv[2])
if sys.argv[3] == "write":
    import synthetic
    if trials == 180:
        table = synthetic.make_results()
    else:
        axes = {"activation": synthetic.ACTIVATIONS[:5], "hidden_dim": list(range(4, 84, 4))}
        table = synthetic.make_results({**axes, "lambda_tc": [round(1.8**i, 3) for i in range(10)]})
    assert len(table) == trials
    synthetic.write_study(out, table, weights=1)
else:
    start = time.perf_counter()
    import analysis
    result = analysis.analyze(out)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "gib": peak, "report_mb": result.report.stat().st_size / 1e6}))
"""


def measure(trials: int) -> dict[str, float]:
    """Seconds, peak GiB and report size of one analysis."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'analysis'}", "PATH": "/usr/bin:/bin"}
        found = ""
        for what in ("write", "analyze"):
            command = [sys.executable, "-c", CHILD, str(trials), f"{folder}/out", what]
            found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
        return json.loads(found)


def main() -> int:
    """Prints each measurement beside its target; returns 1 if a target is missed."""
    missed = False
    for trials in [int(word) for word in sys.argv[1:]] or list(TARGETS):
        seconds, gib = TARGETS[trials]
        found = measure(trials)
        good = found["seconds"] < seconds and found["gib"] < gib
        missed |= not good
        print(
            f"{trials:6,} trials: {found['seconds']:6.1f} s (target {seconds:.0f} s), peak {found['gib']:.2f} GiB "
            f"(target {gib:.0f} GiB), report {found['report_mb']:.1f} MB: {'met' if good else 'MISSED'}",
            flush=True,
        )
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
