#!/usr/bin/env python3
"""The quality worlds of `cargo bench --bench allocation`, with the peers beside ours.

    python3 -m venv target/venv-alloc
    target/venv-alloc/bin/pip install mabwiser==2.7.4 vowpalwabbit==9.11.9 scikit-learn==1.9.1
    target/venv-alloc/bin/python benches/allocation.py

Everybody gets the same rows in the same orders (numpy's, one for each of 20 seeds), sees the reward of the arm
that it chose and no other, and the same features: one-hot cluster and log2(prompt_chars) of
`routing/model_scores.csv`; the pixels of scikit-learn's digits, where the right class is worth 1. LinUCB takes
the pixels both as they are (0 to 16) and divided by 16; the better one counts. Ours runs in the bench's
binary, with its one default policy.

Prints a table of means with 95 % intervals and the `bar` lines of BENCHMARKS.md.
"""

from __future__ import annotations

import argparse
import collections
import csv
import json
import os
import pathlib
import subprocess
import tempfile
import time
import warnings

import numpy as np
import vowpalwabbit
from mabwiser.mab import MAB, LearningPolicy
from sklearn.datasets import load_digits

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORLDS = [
    "stationary",
    "best_fails",
    "best_halves",
    "second_improves",
    "drift_in_one_cluster",
    "arm_added",
    "delayed",
]
FIGURES = ["all", "second_half", "next_300", "second_or_better"]
T_19 = 2.093  # Student's 97.5 % quantile for 20 seeds


class ThompsonSampling:
    """mabwiser's, on whether a reward is above one half; it takes no features."""

    def __init__(self, arms: list[int], features: int, seed: int) -> None:
        policy = LearningPolicy.ThompsonSampling(lambda _, reward: int(reward > 0.5))
        self.bandit = MAB(arms, policy, seed=seed)
        self.bandit.fit(arms, [0] * len(arms))

    def choose(self, x: np.ndarray) -> int:
        return self.bandit.predict()

    def learn(self, x: np.ndarray, arm: int, reward: float, chance: float) -> None:
        self.bandit.partial_fit([arm], [reward])

    def add(self, arm: int) -> None:
        self.bandit.add_arm(arm)


class LinUcb:
    """mabwiser's LinUCB."""

    def __init__(self, arms: list[int], features: int, seed: int, alpha: float = 0.3) -> None:
        self.bandit = MAB(arms, LearningPolicy.LinUCB(alpha=alpha), seed=seed)
        self.bandit.fit([arms[0]], [0.0], np.zeros((1, features)))

    def choose(self, x: np.ndarray) -> int:
        return self.bandit.predict(x[None])

    def learn(self, x: np.ndarray, arm: int, reward: float, chance: float) -> None:
        self.bandit.partial_fit([arm], [reward], x[None])

    def add(self, arm: int) -> None:
        self.bandit.add_arm(arm)


class SquareCb:
    """Vowpal Wabbit's squarecb with its defaults."""

    def __init__(self, arms: list[int], features: int, seed: int) -> None:
        self.arms = list(arms)
        self.rng = np.random.default_rng(seed)
        self.chance = 1.0
        self.vw = vowpalwabbit.Workspace("--cb_explore_adf --squarecb --quiet -q sa --random_seed %d" % seed)

    def _lines(self, x: np.ndarray, label: tuple[int, float, float] | None) -> list[str]:
        shared = "shared |s " + " ".join("f%d:%g" % (i, v) for i, v in enumerate(x) if v)
        lines = [shared]
        for arm in self.arms:
            mark = "0:%g:%g " % (label[1], label[2]) if label and label[0] == arm else ""
            lines.append("%s|a arm=%d" % (mark, arm))
        return lines

    def choose(self, x: np.ndarray) -> int:
        chances = np.asarray(self.vw.predict(self._lines(x, None)))
        at = self.rng.choice(len(chances), p=chances / chances.sum())
        self.chance = float(chances[at])
        return self.arms[at]

    def learn(self, x: np.ndarray, arm: int, reward: float, chance: float) -> None:
        self.vw.learn(self._lines(x, (arm, -reward, chance)))

    def add(self, arm: int) -> None:
        self.arms.append(arm)


def read_models(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = list(csv.reader(path.open()))[1:]
    table = np.array(rows, dtype=float)
    clusters = table[:, 1].astype(int)
    features = np.column_stack([np.eye(clusters.max() + 1)[clusters], np.log2(np.maximum(table[:, 2], 1))])
    return features, table[:, 3:], clusters


def run(policy, world: str, features, scores, clusters, order, seed: int) -> dict[str, float]:
    """One pass, as `worlds::run` of the bench."""
    means = scores.mean(axis=0)
    best, second = np.argsort(-means, kind="stable")[:2]
    by_cluster = np.array([scores[clusters == c].mean(axis=0) for c in range(clusters.max() + 1)])
    home = int(by_cluster[:, best].argmax())
    half, luck = len(order) // 2, np.random.default_rng(seed + 1000)
    arms = list(range(scores.shape[1]))
    if world == "arm_added":
        arms.remove(best)
    bandit = policy(arms, features.shape[1], seed)
    late: collections.deque = collections.deque()
    rewards, good = [], []
    start = time.perf_counter()
    for step, row in enumerate(order):
        changed = step >= half
        if world == "arm_added" and step == half:
            bandit.add(int(best))
        x, cluster = features[row], clusters[row]
        arm = bandit.choose(x)
        chance = getattr(bandit, "chance", 1.0)
        reward, drawn = float(scores[row, arm]), luck.random()
        if changed:
            if world == "best_fails" and arm == best:
                reward = 0.0
            elif world == "best_halves" and arm == best:
                reward *= 0.5
            elif world == "second_improves" and arm == second:
                reward = float(drawn < 0.9)
            elif world == "drift_in_one_cluster" and arm == best and cluster == home:
                reward = 0.0
        rewards.append(reward)
        if step >= len(order) * 3 // 4:
            good.append(arm == second or by_cluster[cluster, arm] >= 0.9)
        if world == "delayed":
            late.append((x, arm, reward, chance, drawn < 0.2))
            if len(late) > 50:
                *known, missing = late.popleft()
                if not missing:
                    bandit.learn(*(known[0], known[1], known[2], known[3]))
        else:
            bandit.learn(x, arm, reward, chance)
    seconds = time.perf_counter() - start
    return {
        "all": float(np.mean(rewards)),
        "second_half": float(np.mean(rewards[half:])),
        "next_300": float(np.mean(rewards[half : half + 300])),
        "second_or_better": float(np.mean(good)),
        "seconds": seconds,
    }


def ours(lines: list[dict]) -> list[dict]:
    """Runs the bench's binary on orders."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False) as file:
        for line in lines:
            print(json.dumps(line), file=file)
    command = ["cargo", "bench", "-q", "-j1", "--bench", "allocation", "--", "--orders", file.name]
    out = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    pathlib.Path(file.name).unlink()
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def interval(values: list[float]) -> tuple[float, float]:
    return float(np.mean(values)), T_19 * float(np.std(values, ddof=1)) / len(values) ** 0.5


def show(world: str, who: str, results: list[dict], figures: list[str]) -> None:
    parts = []
    for figure in figures:
        mean, half = interval([r[figure] for r in results])
        parts.append("%s %.4f ± %.4f" % (figure, mean, half))
    micros = 1e6 * float(np.mean([r["seconds"] / r["steps"] for r in results]))
    print("%-22s %-24s %s (%.1f µs a step)" % (world, who, ", ".join(parts), micros), flush=True)


def low(results: list[dict], figure: str) -> float:
    mean, half = interval([r[figure] for r in results])
    return mean - half


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--worlds", nargs="*", default=[*WORLDS, "digits"])
    options = parser.parse_args()
    corpus = pathlib.Path(os.environ.get("SUTAZAI_CORPUS", ROOT.parent / "shared" / "corpus"))
    models = (corpus / "routing" / "model_scores.csv").resolve()
    features, scores, clusters = read_models(models)
    seeds = range(options.seeds)
    peers = {"mabwiser TS": ThompsonSampling, "mabwiser LinUCB 0.3": LinUcb, "VW squarecb": SquareCb}

    for world in [w for w in WORLDS if w in options.worlds]:
        orders = {seed: np.random.default_rng(seed).permutation(len(scores)) for seed in seeds}
        mine = ours(
            [{"table": str(models), "world": world, "seed": s, "order": o.tolist()} for s, o in orders.items()]
        )
        figures = FIGURES[: {"stationary": 1, "second_improves": 4, "best_fails": 3}.get(world, 2)]
        for result in mine:
            result["steps"] = len(scores)
        show(world, "ours", mine, figures)
        for name, policy in peers.items():
            results = [run(policy, world, features, scores, clusters, orders[s], s) for s in seeds]
            for result in results:
                result["steps"] = len(scores)
            show(world, name, results, figures)
        if world == "stationary":
            line("agent.reward", low(mine, "all"), 0.615)
        elif world == "best_fails":
            line("agent.reward_drift", low(mine, "second_half"), 0.605)
            line("agent.reward_300", low(mine, "next_300"), 0.58)
        elif world == "second_improves":
            line("agent.second_share", low(mine, "second_or_better"), 0.9)

    if "digits" in options.worlds:
        digits(seeds)


def digits(seeds: range) -> None:
    data = load_digits()
    scores = np.eye(10)[data.target]
    orders = {seed: np.random.default_rng(seed).permutation(len(scores)) for seed in seeds}
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "digits.csv"
        np.savetxt(file, np.column_stack([data.data, data.target]), delimiter=",", fmt="%g")
        mine = ours(
            [
                {"table": str(file), "world": "stationary", "seed": s, "order": o.tolist()}
                for s, o in orders.items()
            ]
        )
    everybody = {"ours": mine}
    for name, pixels in [("mabwiser LinUCB 0.3", data.data), ("mabwiser LinUCB 0.3, /16", data.data / 16)]:
        everybody[name] = [
            run(LinUcb, "stationary", pixels, scores, data.target, orders[s], s) for s in seeds
        ]
    everybody["VW squarecb"] = [
        run(SquareCb, "stationary", data.data / 16, scores, data.target, orders[s], s) for s in seeds
    ]
    for name, results in everybody.items():
        for result in results:
            result["steps"] = len(scores)
        show("digits", name, results, ["all"])
    mean = {name: interval([r["all"] for r in results])[0] for name, results in everybody.items()}
    best = max((n for n in mean if "LinUCB" in n), key=mean.get)
    ratio = mean["ours"] / mean[best]
    met = "met" if ratio >= 1 else "missed"
    print("bar agent.digits ours=%.4f peer=%s:%.4f ratio=%.3f goal=>=1 %s"
          % (mean["ours"], best.replace(", ", "").replace(" ", "-"), mean[best], ratio, met))
    seconds = {name: float(np.mean([r["seconds"] for r in results])) for name, results in everybody.items()}
    ratio = seconds["ours"] / seconds[best]
    met = "met" if ratio <= 0.01 else "missed"
    print("bar agent.digits_time ours=%.3fs peer=%s:%.2fs ratio=%.4f goal=<=0.01 %s"
          % (seconds["ours"], best.replace(", ", "").replace(" ", "-"), seconds[best], ratio, met))


def line(name: str, ours_low: float, goal: float) -> None:
    met = "met" if ours_low >= goal else "missed"
    print("bar %s ours=%.4f peer=- ratio=- goal=>=%g %s" % (name, ours_low, goal, met), flush=True)


if __name__ == "__main__":
    main()
