"""Whether a claim is true, by plain Python: the judge of what `convexon certify` let pass.

It imports nothing of Convexon. Files are read as JSON and npz, neurons are stepped one by one,
sums are fractions, logarithms have 60 digits. Slow, and meant to be read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

Matrix = list[list[Fraction]]

DIGITS = 60
SLACK = Fraction(1, 10**45)
"""What a figure made of logarithms may be off by here."""


class File:
    """A file's content: members by their place, whether JSON or array."""

    def __init__(self, path: Path) -> None:
        head = json.loads(path.read_text())
        self.content, self.recipe, self.parents = head["content"], head["recipe"], head["parents"]
        self.arrays: dict[str, Any] = {}
        if head["arrays"]:
            name = f"{path.stem}.{head['digest'].removeprefix('sha256:')[:12]}.npz"
            with np.load(path.with_name(name)) as archive:
                self.arrays = {key: archive[key].tolist() for key in archive.files}

    def __getitem__(self, place: str) -> Any:
        if place in self.arrays:
            return self.arrays[place]
        value = self.content
        for part in place.split("."):
            value = value[int(part)] if isinstance(value, list) else value.get(part)
        return value


class Judge:
    """The truth about a run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = self.file("certificate")

    def file(self, name: str) -> File:
        return File(self.folder / f"{name}.json")

    def is_true(self, claim: str) -> bool:
        """Whether a claim that was checked is true."""
        if claim.startswith("margins ("):
            return self.test_margins(claim.removeprefix("margins (").removesuffix(")"))
        return bool(getattr(self, f"is_{claim.replace(' ', '_')}")())

    # -- the program ------------------------------------------------------------------------------

    @cached_property
    def s(self) -> dict[str, Any]:
        names = ("loss", "penalty", "rho", "targets", "counts", "groups", "columns", "intercept",
                 "weights", "min_weight", "max_feature")  # fmt: skip
        return {name: self.certificate[f"statement.{name}"] for name in names}

    @cached_property
    def dictionary(self) -> list[list[int]]:
        """Columns of the dictionary, each with its n entries, and last the always-firing one."""
        file = self.file("dictionary")
        planes, n = file["bits.planes"], file["bits.n_rows"]
        columns = []
        for j in range(len(planes[0])):
            bits = [[plane[j][i // 8] >> (7 - i % 8) & 1 for plane in planes] for i in range(n)]
            columns.append([sum(bit << b for b, bit in enumerate(entry)) for entry in bits])
        return columns

    @cached_property
    def everything(self) -> list[list[int]]:
        ones = [[1] * len(self.s["counts"])] if self.s["intercept"] else []
        return self.dictionary + ones

    @cached_property
    def own(self) -> list[list[int]]:
        ones = [[1] * len(self.s["counts"])] if self.s["intercept"] else []
        return [self.dictionary[j] for j in self.s["columns"]] + ones

    @cached_property
    def own_weights(self) -> list[Fraction]:
        last = [len(self.dictionary)] if self.s["intercept"] else []
        return [Fraction(self.s["weights"][j]) for j in [*self.s["columns"], *last]]

    @cached_property
    def W(self) -> Matrix:
        return exact(self.certificate["W"])

    @cached_property
    def Q(self) -> Matrix:
        frac = self.certificate["rounded.frac"]
        readout = self.certificate["rounded.readout"]
        return [[Fraction(q, 2**frac) for q in row] for row in readout]

    def objective(self, W: Matrix) -> Fraction:
        s = self.s
        Z = scores(self.own, W)
        total = sum(s["counts"])
        fit = Fraction(0)
        for z, y, c in zip(Z, s["targets"], s["counts"], strict=True):
            fit += Fraction(c, total) * loss_of(s["loss"], z, [Fraction(v) for v in y])
        norms = [norm(s["penalty"], row) for row in W]
        return fit + Fraction(s["rho"]) * sum(
            w * n for w, n in zip(self.own_weights, norms, strict=True)
        )

    def dual_value(self, dual: Matrix) -> Fraction | None:
        """Value of the dual program; None outside its domain."""
        s = self.s
        total, value = sum(s["counts"]), Fraction(0)
        for row, y, c in zip(dual, s["targets"], s["counts"], strict=True):
            part = dual_of(s["loss"], row, [Fraction(v) for v in y], Fraction(c, total))
            if part is None:
                return None
            value += part
        return value

    def excess(self, dual: Matrix, columns: Sequence[Sequence[int]], weights: list[Fraction],
               slack: Fraction = Fraction(0)) -> bool:  # fmt: skip
        """Whether a column violates its constraint by more than ``slack``."""
        for column, weight in zip(columns, weights, strict=True):
            G = [sum(d * row[c] for d, row in zip(column, dual, strict=True))
                 for c in range(len(dual[0]))]  # fmt: skip
            if beyond(self.s["penalty"], G, (Fraction(self.s["rho"]) + slack) * weight):
                return True
        return False

    def is_primal(self) -> bool:
        return Fraction(self.certificate["primal"]) + SLACK >= self.objective(self.W)

    def is_dual(self) -> bool:
        dual = exact(self.certificate["dual"])
        return self.bounds(self.certificate["lower"], dual) and not self.excess(
            dual, self.own, self.own_weights
        )

    def bounds(self, lower: float, dual: Matrix) -> bool:
        value = self.dual_value(dual)
        return value is not None and Fraction(lower) <= value + SLACK

    def is_gap(self) -> bool:
        of = {name: Fraction(self.certificate[name]) for name in ("gap", "primal", "lower")}
        return of["gap"] >= of["primal"] - of["lower"]

    def is_dictionary(self) -> bool:
        part = self.certificate["priced.0"]
        weights = [Fraction(w) for w in self.s["weights"]]
        dual = exact(self.certificate["dual"])
        if part["n_columns"] != len(self.everything):
            return False
        if self.excess(dual, self.everything, weights, Fraction(part["violation"])):
            return False
        if part.get("lower_bound") is None:
            return True
        own = exact(self.certificate["priced.0.dual"])
        return self.bounds(part["lower_bound"], own) and not self.excess(
            own, self.everything, weights
        )

    def is_universal(self) -> bool:
        s, dual = self.s, exact(self.certificate["universal.dual"])
        if max(max(column) for column in self.everything) > s["max_feature"]:
            return False
        groups = {g: [i for i, other in enumerate(s["groups"]) if other == g] for g in s["groups"]}
        for rows in groups.values():
            if any(len({column[i] for i in rows}) > 1 for column in self.dictionary):
                return False
        worst = []
        for c in range(len(dual[0])):
            sums = [sum(dual[i][c] for i in rows) for rows in groups.values()]
            ends = (sum(x for x in sums if x > 0), -sum(x for x in sums if x < 0))
            worst.append(s["max_feature"] * max(ends))
        if beyond(s["penalty"], worst, Fraction(s["rho"]) * Fraction(s["min_weight"])):
            return False
        return self.bounds(self.certificate["universal.lower_bound"], dual)

    def is_windows(self) -> bool:
        """Every neuron of the sets is stepped on every row, one by one; inputs are spikes."""
        dual = exact(self.certificate["windows.dual"])
        weights = [Fraction(w) for w in self.s["weights"]]
        if not self.bounds(self.certificate["windows.lower_bound"], dual):
            return False
        if self.excess(dual, self.everything, weights):
            return False
        samples = [row["input"] for row in self.rows]
        for k, part in enumerate(self.certificate["windows.sets"]):
            place = f"windows.sets.{k}"
            below = self.branches("branches")[part["branch"]][:-1]
            n_inputs = len(below[-1]["thresholds"]) if below else len(samples[0][0])
            found: list[list[int]] = []
            if part["kind"] == "cellset":
                if not self.is_cells(part, self.certificate[f"{place}.inputs"], below, dual):
                    return False
                continue
            vectors = (
                (window, vector)
                for window in self.certificate[f"{place}.inputs"]
                for vector in product(self.certificate[f"{place}.values"], repeat=len(window))
            )
            for window, vector in vectors:
                low, high = (sum(f(w, 0) for w in vector) for f in (min, max))
                ends = (low, high) if part["any_threshold"] else (0, high * len(samples[0]))
                thresholds = list(range(ends[0] + 1, ends[1] + 1))
                spread = [0] * n_inputs
                for i, w in zip(window, vector, strict=True):
                    spread[i] = w
                layer = {
                    "weights": [[w] * len(thresholds) for w in spread],
                    "thresholds": thresholds,
                    "biases": [0] * len(thresholds),
                    "recurrent": None,
                    "saturation": None,
                    "leak": part["leak"],
                    "reset": part["reset"],
                }
                found += self.columns_of([[*below, layer]], samples) if thresholds else []
            least = [Fraction(self.s["min_weight"])] * len(found)
            if len(found) != part["n_neurons"] or self.excess(dual, found, least):
                return False
        return True

    def is_cells(self, part: Any, sets: Any, below: Any, dual: Matrix) -> bool:
        """Every truth table of the sets of inputs, by what is shown with each code."""
        limit, count = Fraction(self.s["rho"]) * Fraction(self.s["min_weight"]), 0
        for inputs in sets:
            sums = [[Fraction(0)] * len(dual[0]) for _ in range(1 << len(inputs))]
            for row, own in zip(self.rows, dual, strict=True):
                signal = row["input"]
                for layer in below:
                    signal = steps_of(layer, signal)[0]
                for step in signal if self.mode == "count" else signal[-1:]:
                    code = sum(step[i] << k for k, i in enumerate(inputs))
                    sums[code] = [a + b for a, b in zip(sums[code], own, strict=True)]
            reached = [[Fraction(0)] * len(dual[0])]
            for vector in sums:
                moved = [[a + b for a, b in zip(r, vector, strict=True)] for r in reached]
                reached += moved if any(vector) else []  # what is never shown doubles what is there
            count += 1 << len(sums)
            if any(beyond(self.s["penalty"], score, limit) for score in reached):
                return False
        return count == part["n_neurons"]

    # -- rounding ---------------------------------------------------------------------------------

    def moved(self, columns: Sequence[Sequence[int]], W: Matrix, Q: Matrix) -> Matrix:
        steps = [[abs(q - w) for q, w in zip(a, b, strict=True)] for a, b in zip(Q, W, strict=True)]
        return scores(columns, steps)

    def is_score_error(self) -> bool:
        most = max(max(row) for row in self.moved(self.own, self.W, self.Q))
        return Fraction(self.certificate["rounded.score_error"]) >= most

    def is_rounded_primal(self) -> bool:
        stated = Fraction(self.certificate["rounded.primal"])
        return stated + SLACK >= self.objective(self.Q)

    def is_objective_change(self) -> bool:
        change = abs(self.objective(self.Q) - self.objective(self.W))
        return Fraction(self.certificate["rounded.objective_change"]) + 2 * SLACK >= change

    def is_margins(self) -> bool:
        place = "rounded.train"
        error = self.moved(self.own, self.W, self.Q)
        return self.margins_hold(place, scores(self.own, self.Q), error)

    def margins_hold(self, place: str, Z: Matrix, error: Matrix) -> bool:
        margin = self.certificate[f"{place}.margin"]
        rounding = self.certificate[f"{place}.rounding"]
        for z, e, m, r in zip(Z, error, margin, rounding, strict=True):
            top = max(range(len(z)), key=z.__getitem__)
            if len(z) == 1:
                truth = abs(z[0]), e[0]
            else:
                others = [c for c in range(len(z)) if c != top]
                truth = z[top] - max(z[c] for c in others), e[top] + max(e[c] for c in others)
            if Fraction(m) > truth[0] or Fraction(r) < truth[1]:
                return False
        return True

    # -- the run ----------------------------------------------------------------------------------

    @cached_property
    def card(self) -> File:
        return self.file("card")

    @cached_property
    def train(self) -> File:
        return self.file("train")

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Distinct (input, label) with counts, in order."""
        found: dict[Any, dict[str, Any]] = {}
        for sample, label in zip(self.train["inputs"], self.train["labels"], strict=True):
            key = json.dumps([sample, label])
            row = found.setdefault(key, {"input": sample, "label": label, "count": 0})
            row["count"] += 1
        return list(found.values())

    def is_data(self) -> bool:
        s, rows = self.s, self.rows
        if s["counts"] != [row["count"] for row in rows]:
            return False
        n = len(rows)
        for i in range(n):
            for j in range(n):
                same = rows[i]["input"] == rows[j]["input"]
                if same is not (s["groups"][i] == s["groups"][j]):
                    return False
        off = 0.0 if s["loss"] in ("squared", "softmax") else -1.0
        for row, target in zip(rows, s["targets"], strict=True):
            if len(target) == 1:
                expected = [1.0 if row["label"] == 1 else -1.0]
            else:
                expected = [1.0 if c == row["label"] else off for c in range(len(target))]
            if target != expected:
                return False
        return len(s["targets"][0]) in (1, self.train["n_classes"])

    def is_samples(self) -> bool:
        interface, T = self.card["interface"], self.card["n_steps"]
        if interface["coding"] != "threshold":
            return False
        for name in ("train", "test"):
            raw, spikes = self.file(f"samples-{name}"), self.file(name)
            if raw["classes"] != interface["classes"] or raw["labels"] != spikes["labels"]:
                return False
            for x, steps in zip(raw["values"], spikes["inputs"], strict=True):
                for k, value in enumerate(x):
                    low, high = interface["low"][k], interface["high"][k]
                    span = 0.5 * high - 0.5 * low
                    u = (0.5 * value - 0.5 * low) / span if span > 0 else 0.0
                    for t in range(T):
                        spike = int(min(max(u, 0.0), 1.0) >= (T - t) / (T + 1) and span > 0)
                        if steps[t][k] != spike:
                            return False
        return True

    @cached_property
    def mode(self) -> str:
        return str(self.card["readout_mode"])

    def branches(self, name: str) -> list[list[dict[str, Any]]]:
        """Layers of each branch, arrays and all."""
        file = self.file(name)
        at = "" if name == "branches" else "branches."
        found = []
        stored = file.content if name == "branches" else file.content["branches"]
        for b, branch in enumerate(stored):
            layers = []
            for k, layer in enumerate(branch["layers"]):
                inside = {}
                for key in ("weights", "thresholds", "biases", "recurrent", "tables"):
                    inside[key] = layer.get(key, file.arrays.get(f"{at}{b}.layers.{k}.{key}"))
                layers.append({**layer, **inside})
            found.append(layers)
        return found

    def columns_of(self, branches: Any, inputs: Any) -> list[list[int]]:
        """What the readout weighs of every last-layer neuron, a column each."""
        columns: list[list[int]] = []
        for layers in branches:
            per_sample = [weighed(layers, sample, self.mode) for sample in inputs]
            columns += [list(column) for column in zip(*per_sample, strict=True)]
        return columns

    @cached_property
    def witnessed(self) -> list[list[int]]:
        """The column of every witness, branch after branch."""
        return self.columns_of(self.branches("branches"), [row["input"] for row in self.rows])

    @cached_property
    def places(self) -> list[int]:
        sizes = [len(layers[-1]["thresholds"]) for layers in self.branches("branches")]
        witnesses = self.file("dictionary")["witnesses"]
        return [sum(sizes[:b]) + j for b, j in witnesses]

    def is_columns(self) -> bool:
        file, all_columns = self.file("dictionary"), self.witnessed
        if [all_columns[p] for p in self.places] != self.dictionary:
            return False
        n = len(self.rows)
        useful = [c for c in all_columns if c not in ([0] * n, [1] * n)]
        distinct = {tuple(c) for c in useful}
        counted = (len(all_columns), all_columns.count([0] * n), all_columns.count([1] * n),
                   len(useful) - len(distinct))  # fmt: skip
        stated = tuple(file[f"n_{k}"] for k in ("drawn", "silent", "constant", "duplicate"))
        own = {tuple(c) for c in self.dictionary}
        return counted == stated and distinct == own and len(own) == len(self.dictionary)

    def is_costs(self) -> bool:
        s, kind = self.s, self.certificate.recipe["settings"]["cost"]
        largest = self.card["n_steps"] if self.mode == "count" else 1
        if s["max_feature"] != largest or (s["intercept"] and s["weights"][-1] != 1.0):
            return False
        weights = s["weights"][: len(self.dictionary)]
        if kind is None:
            return s["min_weight"] == 1.0 and set(weights) == {1.0}
        if kind != "events" or s["min_weight"] != 0.01:
            return False
        costs = []
        for layers in self.branches("branches"):
            signals = [row["input"] for row in self.rows]
            for layer in layers[:-1]:
                signals = [steps_of(layer, signal)[0] for signal in signals]
            for column in zip(*layers[-1]["weights"], strict=True):
                events = sum(
                    1 for signal in signals for step in signal
                    for x, w in zip(step, column, strict=True) if x and w
                )  # fmt: skip
                costs.append(Fraction(events, len(signals)))
        first = len(self.branches("branches")[0][-1]["thresholds"])
        unit = sum(costs[:first]) / first
        expected = [max(costs[p] / unit, Fraction(1, 100)) for p in self.places]
        return all(
            abs(Fraction(w) - e) <= e / 10**8 for w, e in zip(weights, expected, strict=True)
        )

    def is_solution(self) -> bool:
        file, s = self.file("solution"), self.s
        return (
            file["columns"] == s["columns"]
            and file["W"] == self.certificate["W"]
            and file["weights"] == s["weights"][: len(self.dictionary)]
            and file["gap"]["rho"] == s["rho"]
        )

    def trees(self, name: str, readout: Any) -> list[Any]:
        """Every last-layer neuron with all that it depends on, and its row of the readout."""
        found: list[Any] = []
        for layers in self.branches(name):
            n_neurons = len(layers[-1]["thresholds"])
            found += [tree(layers, len(layers) - 1, j) for j in range(n_neurons)]
        rows = readout if readout is not None else [None] * len(found)
        return [(each, row) for each, row in zip(found, rows, strict=True)]

    @cached_property
    def expected(self) -> list[tuple[Any, list[float], list[int]]]:
        """The neurons that the weights say there are, with both rows of weights."""
        trees = [each for each, _ in self.trees("branches", None)]
        readout = self.certificate["rounded.readout"]
        rows = zip(self.s["columns"], self.certificate["W"], readout, strict=False)
        return [(trees[self.places[j]], w, q) for j, w, q in rows if any(w)]

    def is_network(self) -> bool:
        file = self.file("network")
        mine = [(t, w) for t, w in self.trees("network", file["readout_weights"]) if any(w)]
        stated = [(t, w) for t, w, _ in self.expected]
        return (
            sorted(map(repr, mine)) == sorted(map(repr, stated))
            and file["readout_biases"] == self.certificate["W"][-1]
            and file["readout_mode"] == self.mode
        )

    def is_card(self) -> bool:
        card = self.card
        mine = [(t, q) for t, q in self.trees("card", card["readout_weights"]) if any(q)]
        stated = [(t, q) for t, _, q in self.expected if any(q)]
        frac = self.certificate["rounded.frac"]
        half = Fraction(1, 2 ** (frac + 1))
        nearest = all(
            abs(q - w) <= half
            for a, b in zip(self.Q, self.W, strict=True)
            for q, w in zip(a, b, strict=True)
        )
        return (
            sorted(map(repr, mine)) == sorted(map(repr, stated))
            and nearest
            and card["readout_biases"] == self.certificate["rounded.readout"][-1]
            and card["readout_format.frac"] == card["bias_format.frac"] == frac
            and self.card_scores([row["input"] for row in self.rows]) == scores(self.own, self.Q)
        )

    def card_scores(self, inputs: Any) -> Matrix:
        frac = self.card["readout_format.frac"]
        columns = [*self.columns_of(self.branches("card"), inputs), [1] * len(inputs)]
        rows = [*self.card["readout_weights"], self.card["readout_biases"]]
        return scores(columns, [[Fraction(q, 2**frac) for q in row] for row in rows])

    def is_recipe(self) -> bool:
        said = rounding = self.certificate.recipe["settings"]
        if "readout" in self.certificate.parents:
            rounding = self.file("readout").recipe["settings"]
        return (
            said["loss"] == self.s["loss"]
            and said["tolerance"] == self.certificate["tolerance"]
            and said["readout"] == self.mode
            and rounding["readout_bits"] == self.card["readout_format.width"]
            and self.s["rho"] in self.file("solution").recipe["settings"]["rho"]
        )

    def test_margins(self, name: str) -> bool:
        inputs = self.file(name)["inputs"]
        parts = self.certificate["rounded.others"]
        place = next(k for k, part in enumerate(parts) if part["name"] == name)
        if self.certificate[f"rounded.others.{place}.counts"] != [1] * len(inputs):
            return False
        all_columns = self.columns_of(self.branches("branches"), inputs)
        columns = [all_columns[self.places[j]] for j in self.s["columns"]] + [[1] * len(inputs)]
        Z = scores(columns, self.Q)
        if self.card_scores(inputs) != Z:
            return False
        return self.margins_hold(f"rounded.others.{place}", Z, self.moved(columns, self.W, self.Q))


# -- mathematics -----------------------------------------------------------------------------------


def exact(rows: Sequence[Sequence[float]]) -> Matrix:
    return [[Fraction(value) for value in row] for row in rows]


def scores(columns: Sequence[Sequence[int]], W: Matrix) -> Matrix:
    n, C = len(columns[0]), len(W[0])
    return [
        [sum((d[i] * w[c] for d, w in zip(columns, W, strict=True)), Fraction(0)) for c in range(C)]
        for i in range(n)
    ]


def decimal(x: Fraction) -> Decimal:
    return Decimal(x.numerator) / Decimal(x.denominator)


def loss_of(loss: str, z: list[Fraction], y: list[Fraction]) -> Fraction:
    if loss == "squared":
        return sum((a - b) ** 2 for a, b in zip(z, y, strict=True)) / 2
    if loss == "hinge":
        return sum(max(Fraction(0), 1 - a * b) for a, b in zip(z, y, strict=True))
    with localcontext() as context:
        context.prec = DIGITS
        if loss == "logistic":
            return Fraction((1 + decimal(-z[0] * y[0]).exp()).ln())
        label = y.index(Fraction(1))
        return Fraction(sum(decimal(a - z[label]).exp() for a in z).ln())


def entropy(parts: list[Fraction]) -> Fraction:
    with localcontext() as context:
        context.prec = DIGITS
        return -sum((q * Fraction(decimal(q).ln()) for q in parts if q), Fraction(0))


def dual_of(loss: str, row: list[Fraction], y: list[Fraction], share: Fraction) -> Fraction | None:
    """A row's part of the dual objective; None outside the conjugate's domain."""
    taken = [a / share for a in row]
    if loss == "squared":
        return share * sum(t * b - t * t / 2 for t, b in zip(taken, y, strict=True))
    if loss == "softmax":
        parts = [b - t for t, b in zip(taken, y, strict=True)]
        if min(parts) < 0 or sum(parts) != 1:
            return None
        return share * entropy(parts)
    signed = [t * b for t, b in zip(taken, y, strict=True)]
    if min(signed) < 0 or max(signed) > 1:
        return None
    if loss == "hinge":
        return share * sum(signed)
    return share * entropy([signed[0], 1 - signed[0]])


def norm(penalty: str, row: list[Fraction]) -> Fraction:
    if penalty == "l1":
        return sum((abs(w) for w in row), Fraction(0))
    if penalty == "group_linf":
        return max(abs(w) for w in row)
    with localcontext() as context:
        context.prec = DIGITS
        return Fraction(decimal(sum(w * w for w in row)).sqrt())


def beyond(penalty: str, G: list[Any], limit: Fraction) -> bool:
    """Whether the dual norm exceeds a limit."""
    if penalty == "l1":
        return max(abs(g) for g in G) > limit
    if penalty == "group_linf":
        return sum(abs(g) for g in G) > limit
    return sum(g * g for g in G) > limit * limit


# -- neurons ---------------------------------------------------------------------------------------


def steps_of(layer: dict[str, Any], signal: Any) -> tuple[list[list[int]], list[int]]:
    """Spikes of a layer at each step, and its membranes after the last one."""
    k = len(layer["thresholds"])
    v, before, spikes = [0] * k, [0] * k, []
    d, f = layer["leak"]["d"], layer["leak"]["f"]
    for step in signal:
        now = []
        for j in range(k):
            current = sum(row[j] * x for row, x in zip(layer["weights"], step, strict=True))
            lateral = layer["recurrent"] or []
            current += sum(row[j] * s for row, s in zip(lateral, before, strict=False))
            if layer.get("tables"):
                current = layer["tables"][current][j]
            current += layer["biases"][j]
            u = clamped(layer, v[j] - math.floor(Fraction(d * v[j], 2**f)) + current)
            fires = int(u >= layer["thresholds"][j])
            now.append(fires)
            if layer["reset"] == "subtract":
                v[j] = clamped(layer, u - layer["thresholds"][j] * fires)
            else:
                v[j] = 0 if fires and layer["reset"] == "zero" else u
        before = now
        spikes.append(now)
    return spikes, v


def clamped(layer: dict[str, Any], value: int) -> int:
    if layer["saturation"] is None:
        return value
    half = 1 << (layer["saturation"]["width"] - 1)
    signed = layer["saturation"]["signedness"] == "signed"
    low, high = (-half, half - 1) if signed else (0, 2 * half - 1)
    return min(max(value, low), high)


def weighed(layers: list[dict[str, Any]], sample: Any, mode: str) -> list[int]:
    """What the readout weighs of the last layer on a sample."""
    signal, membranes = sample, []
    for layer in layers:
        signal, membranes = steps_of(layer, signal)
    if mode == "last":
        return list(signal[-1])
    if mode == "sign":
        return [int(v >= 0) for v in membranes]
    return [sum(column) for column in zip(*signal, strict=True)]


def tree(layers: list[dict[str, Any]], depth: int, j: int) -> Any:
    """A neuron with all that it reads, whatever stands beside it; without lateral weights."""
    if depth < 0:
        return j
    layer = layers[depth]
    rows = enumerate(layer["weights"])
    reads = [(row[j], tree(layers, depth - 1, i)) for i, row in rows if row[j]]
    about = [layer[key] for key in ("leak", "reset", "saturation", "recurrent")]
    about.append([row[j] for row in layer["tables"] or []])
    return (layer["thresholds"][j], layer["biases"][j], about, sorted(reads, key=repr))
