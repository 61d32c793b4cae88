#!/usr/bin/env python3
"""The tuner's search beside Optuna's TPE and CMA-ES: same functions, seeds, first trial and number of trials.

    pip install optuna cma coco-experiment numpy
    cargo build --release -p sutazai-workspace --example tuner_ask
    python benches/tuner.py --ask target/release/examples/tuner_ask [--seeds 30] [--trials 100] [--sets five,bbob]

TPE is `TPESampler(multivariate=True)`, as Optuna's documentation recommends for dependent parameters; CMA-ES is pycma with bounds
and an initial step of a quarter of the box, from the first point. Regret is the true value of the point that looked best (with noise too).
Lines of JSON, one a run, go to --out; the table shows medians over seeds, and the last lines the bars.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import time
import warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(pathlib.Path(__file__).parent / "tuner"))
import numpy as np  # noqa: E402

from functions import BBOB, FIVE, VARIANTS, Function  # noqa: E402


def tpe(function, seed, trials, _):
    import optuna

    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
    study.enqueue_trial({f"x{i}": float(v) for i, v in enumerate(function.first)})
    seen, times = [], []
    for _ in range(trials):
        start = time.perf_counter()
        trial = study.ask()
        u = [trial.suggest_float(f"x{i}", 0, 1) for i in range(len(function.first))]
        times.append(time.perf_counter() - start)
        true = function.value(u)
        seen.append((function.observe(true), true))
        study.tell(trial, seen[-1][0])
    return seen, times


def cmaes(function, seed, trials, _):
    warnings.simplefilter("ignore")
    import cma

    options = {"bounds": [0, 1], "seed": seed + 1, "verbose": -9}
    search = cma.CMAEvolutionStrategy(list(function.first), 0.25, options)
    true = function.value(function.first)
    seen, times = [(function.observe(true), true)], []
    while len(seen) < trials:
        start = time.perf_counter()
        points = search.ask()
        times.append((time.perf_counter() - start) / len(points))
        values = []
        for u in points:
            true = function.value(u)
            values.append(function.observe(true))
            seen.append((values[-1], true))
        search.tell(points, values)
    return seen[:trials], times


CHILDREN = {}


def ours(function, seed, trials, program):
    child = CHILDREN.get(os.getpid())
    if child is None:
        child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        CHILDREN[os.getpid()] = child

    def say(**request):
        child.stdin.write(json.dumps(request) + "\n")
        return json.loads(child.stdout.readline())

    say(new={"first": [float(v) for v in function.first], "seed": seed})
    seen, times = [], []
    for _ in range(trials):
        asked = say(ask=True)
        true = function.value(asked["x"])
        seen.append((function.observe(true), true))
        told = say(tell={"id": asked["id"], "value": seen[-1][0]})
        times.append((asked["nanos"] + told["nanos"]) / 1e9)
    return seen, times


def run(case):
    who, name, variant, seed, trials, program = case
    seen, times = {"ours": ours, "tpe": tpe, "cmaes": cmaes}[who](Function(name, variant, seed), seed, trials, program)
    _, regret = min(seen, key=lambda s: s[0])
    # What cannot be told from the optimum in double precision is the optimum.
    return {"who": who, "function": name, "variant": variant, "seed": seed, "regret": max(regret, 1e-12), "times": times}


def bar(name, ours, peer, peer_value, goal, unit=""):
    ratio = f"{ours / peer_value:.3f}" if peer else "-"
    peer = f"{peer}:{peer_value:.4g}{unit}" if peer else "-"
    print(f"bar tune.{name} ours={ours:.4g}{unit} peer={peer} ratio={ratio} goal={goal}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ask", required=True, help="the program of examples/tuner_ask.rs")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--sets", default="five,bbob")
    parser.add_argument("--out", help="file for lines of JSON")
    parser.add_argument("--million", action="store_true", help="a million trials of ours as well: time and memory")
    options = parser.parse_args()
    groups = []
    if "five" in options.sets:
        groups += [(name, variant) for name in FIVE for variant in VARIANTS]
    if "bbob" in options.sets:
        groups += [(name, "plain") for name in BBOB]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    cases = [
        (who, *group, seed, options.trials, options.ask) for group in groups for seed in seeds for who in ("ours", "tpe", "cmaes")
    ]
    with multiprocessing.Pool(os.cpu_count()) as pool:
        runs = pool.map(run, cases, chunksize=3)
    if options.out:
        with open(options.out, "w") as file:
            file.writelines(json.dumps({k: v for k, v in r.items() if k != "times"}) + "\n" for r in runs)
    print(f"{'function':12s} {'variant':9s} {'ours':>10s} {'TPE':>10s} {'CMA-ES':>10s} {'/TPE':>7s} {'/CMA-ES':>7s}")
    for name, variant in groups:
        median = {
            who: float(np.median([r["regret"] for r in runs if (r["who"], r["function"], r["variant"]) == (who, name, variant)]))
            for who in ("ours", "tpe", "cmaes")
        }
        mine, t, c = median["ours"], median["tpe"], median["cmaes"]
        print(f"{name:12s} {variant:9s} {mine:10.4g} {t:10.4g} {c:10.4g} {mine / t:7.3f} {mine / c:7.3f}")
        if name in FIVE:
            suffix = "" if variant == "plain" else f"_{variant}"
            bar(f"regret_{name}{suffix}", mine, "optuna-tpe", t, "<=0.5")
            bar(f"regret_{name}{suffix}_cma", mine, "cma-es", c, "<=1")
    for who in ("ours", "tpe", "cmaes"):
        times = np.array([t for r in runs if r["who"] == who for t in r["times"]]) * 1e3
        print(f"{who}: {times.mean():.3f} ms a suggestion, p99 {np.percentile(times, 99):.3f} ms")
        if who == "ours":
            bar("suggest", float(times.mean()), None, None, "<=1", "ms")
            bar("suggest_p99", float(np.percentile(times, 99)), None, None, "<=10", "ms")
    if options.million:
        million(options.ask)


def million(program):
    """A million trials in four dimensions, in the program itself: what it prints."""
    print(subprocess.run([program, "--trials", "1000000"], check=True, capture_output=True, text=True).stdout, end="")


if __name__ == "__main__":
    main()
