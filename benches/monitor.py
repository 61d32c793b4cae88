#!/usr/bin/env python3
"""What `cargo bench --bench monitor` measures, with Python's libraries: psutil's sample, river's and rrcf's detectors.

    python3 -m venv target/venv-monitor
    target/venv-monitor/bin/pip install psutil==7.2.2 river==0.26.1 rrcf==0.4.4
    SUTAZAI_CORPUS=… target/venv-monitor/bin/python benches/monitor.py

psutil takes processors, memory, network and this process every 205 ms, as the bench does; CPU time of the thread, median.
HalfSpaceTrees (25 trees of height 8, windows of 250) and a forest of 40 robust random cut trees of 256 points, which are their
authors' examples, judge the series in the corpora's `nab/`; the forest, which is slow, the first 1,500 points of one.
"""

from __future__ import annotations

import csv
import os
import pathlib
import statistics
import time

import psutil
import rrcf
from river import anomaly


def sample() -> None:
    own = psutil.Process()
    times = []
    for _ in range(75):
        time.sleep(0.205)
        start = time.thread_time_ns()
        psutil.cpu_times_percent(percpu=True)
        psutil.virtual_memory()
        psutil.swap_memory()
        psutil.net_io_counters(pernic=True)
        with own.oneshot():
            own.cpu_times()
            own.memory_info()
        times.append(time.thread_time_ns() - start)
    print(f"    monitor.sample: psutil {statistics.median(times[5:]) / 1e3:.1f}us")


def series() -> list[list[float]]:
    folder = pathlib.Path(os.environ["SUTAZAI_CORPUS"]) / "nab" / "data"
    read = lambda path: [float(row[1]) for row in list(csv.reader(path.open()))[1:]]
    return [read(path) for path in sorted(folder.rglob("*.csv"))]


def trees(all_series: list[list[float]]) -> None:
    start, points = time.thread_time_ns(), 0
    for values in all_series[::6]:
        low, high = min(values), max(values)
        trees = anomaly.HalfSpaceTrees(n_trees=25, height=8, window_size=250, seed=1, limits={"x": (low, high + 1e-9)})
        for value in values:
            point = {"x": value}
            trees.score_one(point)
            trees.learn_one(point)
        points += len(values)
    print(f"    monitor.detect: river HalfSpaceTrees {(time.thread_time_ns() - start) / points / 1e3:.1f}us")


def forest(values: list[float]) -> None:
    start = time.thread_time_ns()
    trees = [rrcf.RCTree() for _ in range(40)]
    for index, value in enumerate(values):
        for tree in trees:
            if len(tree.leaves) > 256:
                tree.forget_point(index - 256)
            tree.insert_point([value], index=index)
            tree.codisp(index)
    print(f"    monitor.detect: rrcf {(time.thread_time_ns() - start) / len(values) / 1e3:.1f}us")


if __name__ == "__main__":
    sample()
    everything = series()
    trees(everything)
    forest(everything[0][:1500])
