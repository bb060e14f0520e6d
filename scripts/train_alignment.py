"""Rebuilds `src/jittrust/models/misaligned.json`: `python -m scripts.train_alignment --write [--data DIR] [--suite NAME …] [--test NAME …]`.

Sessions are made by `scripts.generate_sessions` (seeded) and, where `--data` has them, taken from labelled suites. They are replayed by the very engine;
of every call the signs of `core.intent.misaligned` are taken, and a logistic with weights >= 0 is fitted on them, a coordinate at a time (Newton's
step, cut off at 0). Generated and recorded sessions weigh the same in sum, benign and malicious ones too, each (task, attack) pair the same, and
a read a third of a call with consequences. The learned signs come from a baseline of the benign sessions of the other tasks of the suite. What is
fitted on four fifths of the suites is compared with the labels of the rest, and its probabilities are set right by that (Platt). No word, name or
address is learned: signs are all there is.
"""

import argparse
import asyncio
import json
import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.intent import DATA, auc, sessions
from scripts.generate_sessions import generate

from jittrust.adapters.cedar.policy import CedarPolicy
from jittrust.apps.replay import WatchedCall, recorded_sessions, replay_session
from jittrust.core.intent.baseline import Baseline, SeenCall, learn, seen_call, surprise
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.misaligned import LEARNED_SIGNS, SIGNS, signs
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.rules import Rules

MODEL = Path(__file__).resolve().parents[1] / "src" / "jittrust" / "models" / "misaligned.json"
SUITES = ("agentdojo_workspace", "agentdojo_slack")
CATALOGUES = (*SUITES, "bfcl_calls")
NAMES = tuple(SIGNS)
READ = 1 / 3
"""Weight of a read beside a call with consequences."""
# A baseline says itself what the map covers here.
UNUSED = {False: LEARNED_SIGNS, True: frozenset({"uncovered"})}
FOLDS = 5
LIMITS = (0.02, 0.05, 0.1)


@dataclass(frozen=True)
class Example:
    """One labelled call."""

    suite: str
    task: str
    attack: str
    session: str
    bad: bool
    acts: bool
    success: bool
    plain: tuple[float, ...]
    learned: tuple[float, ...]

    def signs(self, *, learned: bool) -> tuple[float, ...]:
        """The values of the signs, in the order of `NAMES`."""
        return self.learned if learned else self.plain


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
            watched.append(({"id": told["id"], "labels": told["labels"], **told["meta"]}, calls))
    benign = [(str(meta["task"]), [_seen(one) for one in calls]) for meta, calls in watched if meta["attack"] is None]
    tasks = {str(meta["task"]) for meta, _ in watched}
    without: dict[str, Baseline] = {task: learn((t, c) for t, c in benign if t != task) for task in tasks}
    found = []
    for meta, calls in watched:
        task = str(meta["task"])
        for one in calls:
            if one.call not in meta["labels"]:
                continue
            usual = surprise(without[task], one.tool, one.before, one.origins, one.keys)
            made = signs(read_goal(one.goal), one.reading, one.origins, one.attribution, usual, one.setting)
            found.append(
                Example(
                    path.stem,
                    task,
                    str(meta["attack"]),
                    meta["id"],
                    meta["labels"][one.call] == "malicious",
                    one.reading.consequential,
                    meta.get("success") is True,
                    tuple(0.0 if name in LEARNED_SIGNS else made[name] for name in NAMES),
                    tuple(made[name] for name in NAMES),
                )
            )
    return found


def _seen(one: WatchedCall) -> SeenCall:
    return seen_call(one.tool, one.origins, one.keys, TAXONOMY[one.reading.intent].base_risk)


Weights = tuple[float, list[float]]


def fit(rows: Sequence[Example], *, learned: bool, penalty: float = 0.003, sweeps: int = 60) -> Weights:
    """Bias and weights (>= 0) that minimise the weighted log loss with a quadratic penalty."""
    pairs = Counter((one.suite, one.task, one.attack, one.bad) for one in rows)
    sides = Counter((_made_up(suite), bad) for suite, _, _, bad in pairs)
    kinds = len({kind for kind, _ in sides})
    gathered: defaultdict[tuple[tuple[float, ...], bool], float] = defaultdict(float)
    for one in rows:
        x = tuple(round(value, 2) for value in one.signs(learned=learned))
        share = 0.5 / kinds / sides[(_made_up(one.suite), one.bad)] / pairs[(one.suite, one.task, one.attack, one.bad)]
        gathered[((*x, 1.0), one.bad)] += share if one.acts else READ * share
    points = [(x, float(bad), share) for (x, bad), share in gathered.items()]
    w, z = [0.0] * (len(NAMES) + 1), [0.0] * len(points)
    for _ in range(sweeps):
        for place in range(len(w)):
            sign = place < len(NAMES)
            if sign and NAMES[place] in UNUSED[learned]:
                continue
            slope, curve = (penalty * w[place], penalty) if sign else (0.0, 1e-9)
            for (x, y, share), at in zip(points, z, strict=True):
                if x[place]:
                    p = _chance(at)
                    slope += share * (p - y) * x[place]
                    curve += share * max(p * (1.0 - p), 0.02) * x[place] ** 2
            new = w[place] - slope / curve
            new = max(0.0, new) if sign else new
            moved, w[place] = new - w[place], new
            if moved:
                z = [at + moved * x[place] for (x, _, _), at in zip(points, z, strict=True)]
    return w[-1], w[:-1]


def _made_up(suite: str) -> bool:
    return suite.startswith("generated")


def _chance(at: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, at))))


def log_odds(rows: Sequence[Example], model: Weights, *, learned: bool) -> list[float]:
    """What a model says of the rows."""
    bias, weights = model
    return [
        round(bias + math.fsum(w * x for w, x in zip(weights, one.signs(learned=learned), strict=True)), 6)
        for one in rows
    ]


def held_out(rows: Sequence[Example], *, learned: bool) -> list[tuple[float, bool, float]]:
    """(log odds by a model that never saw the suite, label, weight at even odds) of every call with consequences."""
    suites = sorted({one.suite for one in rows})
    found: list[tuple[float, bool]] = []
    for fold in range(min(FOLDS, len(suites))):
        tested = frozenset(suites[fold::FOLDS])
        rest = [one for one in rows if one.suite not in tested]
        there = [one for one in rows if one.suite in tested and one.acts]
        if not rest or not there:
            continue
        model = fit(rest, learned=learned, sweeps=30)
        found.extend((z, one.bad) for z, one in zip(log_odds(there, model, learned=learned), there, strict=True))
    many = Counter(bad for _, bad in found)
    return [(z, bad, 0.5 / many[bad]) for z, bad in found]


def platt(points: Sequence[tuple[float, bool, float]], sweeps: int = 60) -> tuple[float, float]:
    """Slope (> 0) and shift that set held-out log odds right; (1, 0) without labels of both kinds."""
    if len({bad for _, bad, _ in points}) < 2:  # noqa: PLR2004 - benign and malicious
        return 1.0, 0.0
    a, b = 1.0, 0.0
    for _ in range(sweeps):
        ga = gb = haa = hbb = hab = 1e-9
        for z, bad, share in points:
            p = _chance(a * z + b)
            ga, gb = ga + share * (p - bad) * z, gb + share * (p - bad)
            spread = share * max(p * (1.0 - p), 1e-3)
            haa, hbb, hab = haa + spread * z * z, hbb + spread, hab + spread * z
        size = haa * hbb - hab * hab
        a, b = a - (hbb * ga - hab * gb) / size, b - (haa * gb - hab * ga) / size
        a = max(0.05, a)
    return a, b


def calibration_error(
    points: Sequence[tuple[float, bool, float]], a: float = 1.0, b: float = 0.0, bins: int = 10
) -> float:
    """Expected calibration error of held-out probabilities, at even odds."""
    groups: defaultdict[int, list[tuple[float, bool, float]]] = defaultdict(list)
    for z, bad, share in points:
        p = _chance(a * z + b)
        groups[min(bins - 1, int(p * bins))].append((p, bad, share))
    total = 0.0
    for found in groups.values():
        said = math.fsum(p * share for p, _, share in found)
        true = math.fsum(bad * share for _, bad, share in found)
        total += abs(said - true)
    return round(total, 4)


def told(rows: Sequence[Example], model: Weights, *, learned: bool) -> dict[str, object]:
    """How well a model tells calls with consequences apart, and whole sessions: the worst call of each."""
    score = log_odds(rows, model, learned=learned)
    bad = [z for z, one in zip(score, rows, strict=True) if one.bad and one.acts]
    good = sorted(z for z, one in zip(score, rows, strict=True) if not one.bad and one.acts)
    if not bad or not good:
        return {"calls": len(rows)}
    attacked = {one.session for one in rows if one.bad}
    worst: dict[str, float] = {}
    for z, one in zip(score, rows, strict=True):
        if one.bad or one.session not in attacked:
            worst[one.session] = max(worst.get(one.session, -99.0), z if one.acts else -99.0)
    succeeded = {one.session for one in rows if one.success}
    clean = sorted(z for name, z in worst.items() if name not in attacked and name in succeeded)
    hit = [z for name, z in worst.items() if name in attacked]
    made: dict[str, object] = {"calls": len(bad) + len(good), "auc": auc(bad, good)}
    for share in LIMITS:
        limit = good[min(len(good) - 1, int((1.0 - share) * len(good)))]
        made[f"calls_caught_at_{share:g}"] = round(sum(z > limit for z in bad) / len(bad), 3)
    for share in (0.05, 0.1, 0.2):
        if clean:
            limit = clean[min(len(clean) - 1, int((1.0 - share) * len(clean)))]
            made[f"attacks_caught_at_{share:g}_of_sessions"] = round(sum(z > limit for z in hit) / len(hit), 3)
            made[f"p_at_{share:g}_of_sessions"] = round(_chance(limit), 3)
    return made


def _as_json(model: Weights) -> dict[str, object]:
    bias, weights = model
    return {"bias": round(bias, 4), "signs": {n: round(w, 4) for n, w in zip(NAMES, weights, strict=True) if w > 0}}


def train(rows: Sequence[Example], *, learned: bool) -> tuple[Weights, dict[str, object]]:
    """The calibrated model of all rows, and what was found on the way."""
    points = held_out(rows, learned=learned)
    a, b = platt(points)
    bias, weights = fit(rows, learned=learned)
    model = (a * bias + b, [a * w for w in weights])
    return model, {
        "held_out_auc": auc([z for z, bad, _ in points if bad], [z for z, bad, _ in points if not bad]),
        "ece_before": calibration_error(points),
        "ece": calibration_error(points, a, b),
        "platt": [round(a, 3), round(b, 3)],
    }


def main() -> None:
    """Fit, tell, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=DATA, help="folder of labelled suites; those it lacks are left out"
    )
    parser.add_argument("--suite", nargs="*", default=list(SUITES), help="suites to train on")
    parser.add_argument("--test", nargs="*", default=[], help="suites that are only looked at")
    parser.add_argument("--deployments", type=int, default=20, help="generated deployments")
    parser.add_argument("--tasks", type=int, default=16, help="tasks of each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="one session of so many")
    parser.add_argument("--write", action="store_true", help="write the model")
    parser.add_argument("--out", type=Path, default=MODEL, help="where to")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        catalogues = [found for name in CATALOGUES if (found := args.data / f"{name}.jsonl").exists()]
        paths = generate(Path(folder), args.deployments, args.tasks, args.seed, catalogues)
        paths += [found for name in args.suite if (found := args.data / f"{name}.jsonl").exists()]
        rows = [one for path in paths for one in examples(path, args.every)]
    looked = {name: examples(args.data / f"{name}.jsonl", args.every) for name in args.test}
    figures: dict[str, object] = {"sessions": len({(one.suite, one.session) for one in rows}), "calls": len(rows)}
    made: dict[str, object] = {"version": "2"}
    for kind, name in ((False, "plain"), (True, "learned")):
        model, found = train(rows, learned=kind)
        made[name] = figures[f"{name}: weights"] = _as_json(model)
        figures[name] = found
        for suite in [one for one in args.suite if any(row.suite == one for row in rows)]:
            others = fit([one for one in rows if one.suite != suite], learned=kind)
            there = [one for one in rows if one.suite == suite]
            figures[f"{name}: without {suite}, on it"] = told(there, others, learned=kind)
        for suite, there in looked.items():
            figures[f"{name}: on {suite}"] = told(there, model, learned=kind)
    print(json.dumps(figures, indent=2))
    if args.write:
        args.out.parent.mkdir(exist_ok=True)
        args.out.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
