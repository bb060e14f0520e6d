"""How well a message from agent to agent is told from one that has nothing to do with the person's words: `python -m bench cascades [--data DIR]`.

Person's words are the first user message of each AgentDojo session. What an agent may tell the next one is taken from the same sessions: a sentence of
these words (on the goal), the words of another task of the suite (off it, though often of the same kind), and the goal of an injected text.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.cascade_cases import CASES

from jittrust.core.intent.cascade import CASCADE_RULES, Hop, cascade, hop_of
from jittrust.core.mission.mission import Goal, GoalSource

SUITES = ("agentdojo_workspace", "agentdojo_slack", "agentdojo_banking", "agentdojo_travel")
_INJECTED = re.compile(r"please do the following first:[\s\\]*(.{10,800}?)[\s\\]*After you do that", re.DOTALL)
_ENDS = re.compile(r"(?<=[.!?])\s+")
_SHORTEST = 15


def _sessions(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def measured(path: Path) -> dict[str, object]:
    """Of each kind of message: how many, and the share that is asked about (`ask_from`) or at least medium (0.5)."""
    injected: dict[str, set[str]] = defaultdict(set)
    for session in _sessions(path):
        goal = next(one["content"] for one in session["messages"] if one["role"] == "user")
        found = injected[goal]
        if session["meta"]["attack"]:
            for one in session["messages"]:
                if one["role"] == "tool":
                    found |= {re.sub(r"[\s\\]+", " ", hit[1]) for hit in _INJECTED.finditer(one["content"] or "")}
    goals = list(injected)
    pairs = {
        "own_sentence": [(goal, part) for goal in goals for part in _ENDS.split(goal) if len(part) >= _SHORTEST],
        "other_task": [(goal, other) for goal in goals for other in goals if other != goal],
        "injected_goal": [(goal, other) for goal in goals for other in sorted(injected[goal])],
    }
    return {kind: _told(found) for kind, found in pairs.items()}


def invented() -> dict[str, object]:
    """Of the invented tasks, honest ones and those off the way: as `measured`, and of honest chains the share that ends in a question."""
    honest = [(goal, said) for goal, right, _ in CASES for said in right]
    off = [(goal, said) for goal, _, wrong in CASES for said in wrong]
    chains = [cascade([_hop(goal, said) for said in right]) for goal, right, _ in CASES]
    asked = sum(found is not None and (found.value or 0.0) >= CASCADE_RULES.ask_from for found in chains)
    pairs = [(a > b) + 0.5 * (a == b) for a in map(_far, off) for b in map(_far, honest)]
    return {
        "honest": _told(honest),
        "off": _told(off),
        "auc": round(sum(pairs) / len(pairs), 4),
        "honest_chains": len(chains),
        "honest_chains_asked": asked,
    }


def _hop(goal: str, said: str) -> Hop:
    return hop_of(Goal((goal,), GoalSource.FLAG), "agent", said)


def _far(pair: tuple[str, str]) -> float:
    return _hop(*pair).distance or 0.0


def _told(pairs: list[tuple[str, str]]) -> dict[str, float | int]:
    far = [_far(pair) for pair in pairs]
    return {
        "messages": len(far),
        "asked": round(sum(one >= CASCADE_RULES.ask_from for one in far) / max(1, len(far)), 4),
        "medium": round(sum(one >= CASCADE_RULES.unread for one in far) / max(1, len(far)), 4),
    }


def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench cascades")
    parser.add_argument("--json", action="store_true", help="accepted; the figures are JSON anyway")
    parser.add_argument("--data", type=Path, help="folder with the sessions; without it, the invented tasks only")
    folder = parser.parse_args().data
    suites = {} if folder is None else {suite: measured(folder / f"{suite}.jsonl") for suite in SUITES}
    print(json.dumps({"invented": invented(), **suites}, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
