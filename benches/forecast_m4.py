#!/usr/bin/env python3
"""Forecasts of the M4 competition's hourly series (`m4/` of the corpora), with statsforecast's beside ours.

    python3 -m venv target/venv-forecast
    target/venv-forecast/bin/pip install statsforecast==2.1.1
    SUTAZAI_CORPUS=… target/venv-forecast/bin/python benches/forecast_m4.py

Ours are those of `cargo bench --bench forecast -- m4`, which is told neither the seasons nor what the series are; the
peers are told: AutoETS and the theta models a season of 24, MSTL 24 and 168. Everybody forecasts 48 steps with
95 % intervals. sMAPE, MASE and MSIS (scaled by the seasonal naive forecast's mean error, season 24) are those of the
competition; OWA holds them against Naive2, which is computed once and shared. Whatever figures ours has were
chosen on the half of the series whose name has an even SHA-1; the other half stands apart.

Prints the table and the `bar` lines of BENCHMARKS.md.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import pathlib
import subprocess
import time
import warnings

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEASON, HORIZON, LEVEL = 24, 48, 95


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    with path.open() as file:
        rows = list(csv.reader(file))[1:]
    numbers = lambda row: np.array([float(x) for x in row[1:] if x not in ("", "NA")])
    return {row[0]: numbers(row) for row in rows}


def is_even(name: str) -> bool:
    return hashlib.sha1(name.encode()).digest()[-1] % 2 == 0


def naive2(values: np.ndarray) -> np.ndarray:
    """The competition's yardstick: the last value of the series without its season (classical, multiplicative)."""
    season = np.ones(SEASON)
    if is_seasonal(values):
        kernel = np.r_[0.5, np.ones(SEASON - 1), 0.5] / SEASON
        trend = np.convolve(values, kernel, mode="valid")
        half = SEASON // 2
        ratio = values[half:-half] / trend
        phase = (np.arange(len(ratio)) + half) % SEASON
        season = np.array([ratio[phase == i].mean() for i in range(SEASON)])
        season /= season.mean()
    at = np.arange(len(values), len(values) + HORIZON) % SEASON
    return values[-1] / season[(len(values) - 1) % SEASON] * season[at]


def is_seasonal(values: np.ndarray) -> bool:
    """The competition's test at 90 %."""
    centred = values - values.mean()
    correlation = lambda lag: (centred[:-lag] * centred[lag:]).sum() / (centred**2).sum()
    before = sum(correlation(lag) ** 2 for lag in range(1, SEASON))
    return abs(correlation(SEASON)) > 1.645 * np.sqrt((1 + 2 * before) / len(values))


def score(past: np.ndarray, actual: np.ndarray, said: dict) -> dict[str, float]:
    point, lower, upper = (np.array(said[k]) for k in ("point", "lower", "upper"))
    unit = np.abs(past[SEASON:] - past[:-SEASON]).mean()
    beyond = np.maximum(lower - actual, 0) + np.maximum(actual - upper, 0)
    return {
        "smape": (200 * np.abs(actual - point) / (np.abs(actual) + np.abs(point))).mean(),
        "mase": np.abs(actual - point).mean() / unit,
        "coverage": ((actual >= lower) & (actual <= upper)).mean() * 100,
        "msis": ((upper - lower) + 2 / (1 - LEVEL / 100) * beyond).mean() / unit,
        "ms": said["ms"],
    }


def ours(path: str | None) -> dict[str, dict]:
    if path is None:
        path = str(ROOT / "target" / "forecast_m4.json")
        command = ["cargo", "bench", "-q", "--bench", "forecast", "--", "m4", path]
        subprocess.run(command, cwd=ROOT, check=True, env=os.environ)
    return json.loads(pathlib.Path(path).read_text())


def peers(train: dict[str, np.ndarray]) -> dict[str, dict[str, dict]]:
    os.environ.setdefault("NIXTLA_ID_AS_COL", "1")
    from statsforecast.models import MSTL, AutoETS, AutoTheta, Theta

    models = {
        "AutoETS": lambda: AutoETS(season_length=SEASON),
        "MSTL": lambda: MSTL(season_length=[SEASON, 7 * SEASON]),
        "AutoTheta": lambda: AutoTheta(season_length=SEASON),
        "Theta": lambda: Theta(season_length=SEASON),
    }
    said: dict[str, dict[str, dict]] = {}
    for name, model in models.items():
        said[name] = {}
        first = next(iter(train.values()))
        model().forecast(y=first, h=HORIZON, level=[LEVEL])  # compiles
        for series, values in train.items():
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = model().forecast(y=values, h=HORIZON, level=[LEVEL])
            said[name][series] = {
                "point": result["mean"].tolist(),
                "lower": np.ravel(result[f"lo-{LEVEL}"]).tolist(),
                "upper": np.ravel(result[f"hi-{LEVEL}"]).tolist(),
                "ms": (time.process_time() - start) * 1e3,
            }
        print(f"… {name}", flush=True)
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ours", help="what the bench has written, instead of running it")
    parser.add_argument("--peers", help="where the peers' forecasts are kept, to be read when they are there")
    arguments = parser.parse_args()
    folder = pathlib.Path(os.environ["SUTAZAI_CORPUS"]) / "m4"
    train, test = read(folder / "hourly-train.csv"), read(folder / "hourly-test.csv")

    yardstick = {s: {"point": naive2(v), "lower": naive2(v), "upper": naive2(v), "ms": 0.0} for s, v in train.items()}
    said = {"Naive2": yardstick, "ours": ours(arguments.ours)}
    kept = pathlib.Path(arguments.peers) if arguments.peers else None
    if kept and kept.exists():
        said |= json.loads(kept.read_text())
    else:
        others = peers(train)
        if kept:
            kept.write_text(json.dumps(others))
        said |= others

    halves = {"all": list(train), "even": [s for s in train if is_even(s)], "odd": [s for s in train if not is_even(s)]}
    bars: dict[str, float] = {}
    for half, names in halves.items():
        table = {}
        for method, forecasts in said.items():
            scores = [score(train[s], test[s], forecasts[s]) for s in names]
            table[method] = {k: float(np.mean([row[k] for row in scores])) for k in scores[0]}
        base = table["Naive2"]
        print(f"\n{half}: {len(names)} series\n{'':12}{'sMAPE':>9}{'MASE':>9}{'OWA':>9}{'covers %':>10}{'MSIS':>9}{'CPU ms':>10}")
        for method, row in table.items():
            row["owa"] = (row["smape"] / base["smape"] + row["mase"] / base["mase"]) / 2
            shown = f"{method:12}{row['smape']:9.3f}{row['mase']:9.3f}{row['owa']:9.3f}"
            print(shown + ("" if method == "Naive2" else f"{row['coverage']:10.1f}{row['msis']:9.2f}{row['ms']:10.1f}"))
        suffix = "" if half == "all" else f"_{half}"
        mine = table["ours"]
        bars |= {
            f"monitor.m4_hourly{suffix}": mine["owa"],
            f"monitor.coverage{suffix}": mine["coverage"],
            f"monitor.msis{suffix}": mine["msis"] / table["AutoETS"]["msis"],
        }
    print()
    for name, value in bars.items():
        print(f"bar {name} {value:.3f}")


if __name__ == "__main__":
    main()
