"""Functions to minimise, on the unit box, the least value 0.

Branin, Hartmann6, Rosenbrock5, Ackley5 and Rastrigin8 with their optimum at a place that the seed says, uniform in
the middle 80 % of each side; rotated about it, or with noise, as the variant says; and the functions of bbob.
"""

import math
import os
import tempfile

import numpy as np

VARIANTS = ("plain", "rotated", "noise", "relative")


def branin(z):
    b, c, t = 5.1 / (4 * math.pi**2), 5 / math.pi, 1 / (8 * math.pi)
    bent = z[1] - b * z[0] ** 2 + c * z[0] - 6
    return bent**2 + 10 * (1 - t) * math.cos(z[0]) + 10 - 0.39788735772973816


HEIGHTS = np.array([1, 1.2, 3, 3.2])
WIDTHS = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(z):
    return 3.322368011415515 - float(HEIGHTS @ np.exp(-(WIDTHS * (z - CENTRES) ** 2).sum(1)))


def rosenbrock(z):
    return float((100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2).sum())


def ackley(z):
    hole = -20 * math.exp(-0.2 * math.sqrt((z**2).mean()))
    return float(hole - math.exp(np.cos(2 * math.pi * z).mean()) + 20 + math.e)


def rastrigin(z):
    return float(10 * len(z) + (z**2 - 10 * np.cos(2 * math.pi * z)).sum())


# Name: function, least and largest coordinates, the optimum of the unshifted function.
FIVE = {
    "branin": (branin, [-5, 0], [10, 15], [math.pi, 2.275]),
    "hartmann6": (hartmann6, [0] * 6, [1] * 6, [0.20168952, 0.15001069, 0.47687398, 0.27533243, 0.31165162, 0.65730054]),
    "rosenbrock5": (rosenbrock, [-5] * 5, [10] * 5, [1] * 5),
    "ackley5": (ackley, [-32.768] * 5, [32.768] * 5, [0] * 5),
    "rastrigin8": (rastrigin, [-5.12] * 8, [5.12] * 8, [0] * 8),
}
BBOB = [f"bbob{k:02d}" for k in range(1, 25)]


class Function:
    """One function, as the seed and variant say; `first` is the first point that everybody tries, uniform in the box."""

    def __init__(self, name, variant, seed):
        random = np.random.default_rng([seed, sum(map(ord, name)), 17])
        self.noise = np.random.default_rng([seed, 99])
        self.spread = self.share = 0.0
        if name.startswith("bbob"):
            d = 5
            self._bbob(int(name[4:]), seed + 1, d)
        else:
            f, low, high, at = FIVE[name]
            low, high, at = (np.array(a, float) for a in (low, high, at))
            d = len(low)
            optimum = low + (high - low) * random.uniform(0.1, 0.9, d)
            turn = np.linalg.qr(random.normal(size=(d, d)))[0] if variant == "rotated" else np.eye(d)
            self.low, self.high, self.least = low, high, 0.0
            self.function = lambda x: f(at + turn @ (x - optimum))
        self.first = random.uniform(size=d)
        if variant == "noise":
            # 5 % of how much the values differ over the box.
            points = np.random.default_rng(5).uniform(size=(400, d))
            self.spread = 0.05 * float(np.std([self.value(u) for u in points]))
        if variant == "relative":
            self.share = 0.05

    def _bbob(self, number, instance, d):
        import cocoex

        self.suite = cocoex.Suite("bbob", f"instances: {instance}", f"dimensions: {d} function_indices: {number}")
        problem = self.suite.get_problem(0)
        here = os.getcwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                # It writes the place of the optimum to a file of this name.
                problem._best_parameter("print")
                with open("._bbob_problem_best_parameter.txt") as file:
                    optimum = np.array(file.read().split(), float)
            finally:
                os.chdir(here)
        self.low, self.high = problem.lower_bounds, problem.upper_bounds
        self.function, self.least = problem, problem(optimum)

    def value(self, u):
        """The regret at a point of the unit box."""
        return self.function(self.low + (self.high - self.low) * np.asarray(u)) - self.least

    def observe(self, value):
        """What is seen of it."""
        if self.spread or self.share:
            value = value * (1 + self.share * self.noise.normal()) + self.spread * self.noise.normal()
        return value
