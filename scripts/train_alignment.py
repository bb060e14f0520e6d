"""Rebuilds `src/jittrust/models/misaligned.json`: `python -m scripts.train_alignment [--data DIR] [--suite NAME …] [--write]`.

Labelled sessions are replayed by the very engine; of every call with consequences the signs of `core.intent.misaligned` are taken, and a logistic
with weights >= 0 is fitted on them, a coordinate at a time (Newton's step, cut off at 0). Every (task, attack) pair weighs the same, and benign
calls together as much as malicious ones. The learned signs come from a baseline of the benign sessions of the other tasks of the suite. Prints
figures of leaving one suite out.
"""

import argparse
import asyncio
import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.intent import DATA, auc, sessions

from jittrust.adapters.cedar.policy import CedarPolicy
from jittrust.apps.replay import WatchedCall, recorded_sessions, replay_session
from jittrust.core.intent.baseline import Baseline, SeenCall, learn, seen_call, surprise
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.misaligned import LEARNED_SIGNS, SIGNS, signs
from jittrust.core.rules import Rules

MODEL = Path(__file__).resolve().parents[1] / "src" / "jittrust" / "models" / "misaligned.json"
SUITES = ("agentdojo_workspace", "agentdojo_slack")
NAMES = tuple(SIGNS)


@dataclass(frozen=True)
class Example:
    """One labelled call with consequences."""

    suite: str
    task: str
    attack: str
    bad: bool
    plain: tuple[float, ...]
    learned: tuple[float, ...]


def examples(path: Path, every: int = 1) -> list[Example]:
    """The examples of a suite."""
    policy, rules = CedarPolicy.load(), Rules()
    watched: list[tuple[dict[str, Any], list[WatchedCall]]] = []
    with path.open("rb") as source, asyncio.Runner() as runner:
        raw = sessions(path)
        for number, session in enumerate(recorded_sessions(source, path.name)):
            told = next(raw)
            if number % every:
                continue
            calls: list[WatchedCall] = []
            runner.run(replay_session(session, policy, rules, watch=calls.append))
            watched.append(
                ({"task": told["meta"]["task"], "attack": told["meta"]["attack"], "labels": told["labels"]}, calls)
            )
    benign = [(str(meta["task"]), [_seen(one) for one in calls]) for meta, calls in watched if meta["attack"] is None]
    tasks = {str(meta["task"]) for meta, _ in watched}
    without: dict[str, Baseline] = {task: learn((t, c) for t, c in benign if t != task) for task in tasks}
    found = []
    for meta, calls in watched:
        labels, task = meta["labels"], str(meta["task"])
        for one in calls:
            if one.call not in labels or not one.reading.consequential:
                continue
            usual = surprise(without[task], one.tool, one.before, one.origins, one.keys)
            goal = read_goal(one.goal)
            plain = signs(goal, one.reading, one.origins, one.attribution)
            learned = signs(goal, one.reading, one.origins, one.attribution, usual)
            found.append(
                Example(
                    path.stem,
                    task,
                    str(meta["attack"]),
                    labels[one.call] == "malicious",
                    tuple(plain[name] for name in NAMES),
                    tuple(learned[name] for name in NAMES),
                )
            )
    return found


def _seen(one: WatchedCall) -> SeenCall:
    return seen_call(one.tool, one.origins, one.keys)


Weights = tuple[float, list[float]]


def fit(rows: list[Example], *, learned: bool, penalty: float = 0.005, sweeps: int = 60) -> Weights:
    """Bias and weights (>= 0) that minimise the weighted log loss with a quadratic penalty."""
    pairs = Counter((one.suite, one.task, one.attack, one.bad) for one in rows)
    gathered: Counter[tuple[tuple[float, ...], bool]] = Counter()
    sides = {side: len({key for key in pairs if key[3] is side}) for side in (False, True)}
    for one in rows:
        x = tuple(round(value, 3) for value in (one.learned if learned else one.plain))
        share = 0.5 / max(1, sides[one.bad]) / pairs[(one.suite, one.task, one.attack, one.bad)]
        gathered[((*x, 1.0), one.bad)] += share  # type: ignore[assignment]
    points = [(x, float(bad), float(share)) for (x, bad), share in gathered.items()]
    usable = [learned or name not in LEARNED_SIGNS for name in NAMES]
    w, z = [0.0] * (len(NAMES) + 1), [0.0] * len(points)
    for _ in range(sweeps):
        for place in range(len(w)):
            if place < len(NAMES) and not usable[place]:
                continue
            slope, curve = (penalty * w[place], penalty) if place < len(NAMES) else (0.0, 1e-9)
            for (x, y, share), at in zip(points, z, strict=True):
                if x[place]:
                    p = 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, at))))
                    slope += share * (p - y) * x[place]
                    curve += share * max(p * (1.0 - p), 0.02) * x[place] ** 2
            new = w[place] - slope / curve
            new = max(0.0, new) if place < len(NAMES) else new
            moved, w[place] = new - w[place], new
            if moved:
                z = [at + moved * x[place] for (x, _, _), at in zip(points, z, strict=True)]
    return w[-1], w[:-1]


def told(rows: list[Example], model: Weights, *, learned: bool) -> dict[str, object]:
    """How well a model tells the rows apart."""
    bias, weights = model
    score = [
        round(bias + math.fsum(w * x for w, x in zip(weights, one.learned if learned else one.plain, strict=True)), 6)
        for one in rows
    ]
    bad = [z for z, one in zip(score, rows, strict=True) if one.bad]
    good = sorted(z for z, one in zip(score, rows, strict=True) if not one.bad)
    if not bad or not good:
        return {"calls": len(rows)}
    limits = {share: good[min(len(good) - 1, int((1.0 - share) * len(good)))] for share in (0.02, 0.05, 0.1)}
    return {
        "calls": len(rows),
        "auc": auc(bad, good),
        **{f"caught_at_{share:g}": round(sum(z > limit for z in bad) / len(bad), 3) for share, limit in limits.items()},
    }


def _as_json(model: Weights) -> dict[str, object]:
    bias, weights = model
    return {"bias": round(bias, 4), "signs": {n: round(w, 4) for n, w in zip(NAMES, weights, strict=True) if w > 0}}


def main() -> None:
    """Fit, tell, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of labelled suites")
    parser.add_argument("--suite", nargs="*", default=list(SUITES), help="suites to train on")
    parser.add_argument("--test", nargs="*", default=[], help="suites that are only looked at")
    parser.add_argument("--write", action="store_true", help="write the model")
    args = parser.parse_args()
    by_suite = {name: examples(args.data / f"{name}.jsonl") for name in args.suite}
    every = [one for rows in by_suite.values() for one in rows]
    figures: dict[str, object] = {}
    for kind in (False, True):
        name = "learned" if kind else "plain"
        for left, rows in by_suite.items():
            others = [one for one in every if one.suite != left]
            if others:
                figures[f"{name}: without {left}, on it"] = told(rows, fit(others, learned=kind), learned=kind)
        final = fit(every, learned=kind)
        for other in args.test:
            looked = examples(args.data / f"{other}.jsonl")
            figures[f"{name}: on {other}"] = told(looked, final, learned=kind)
        figures[f"{name}: weights"] = _as_json(final)
    print(json.dumps(figures, indent=2))
    if args.write:
        made = {
            "version": "1",
            "plain": figures["plain: weights"],
            "learned": figures["learned: weights"],
        }
        MODEL.parent.mkdir(exist_ok=True)
        MODEL.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
