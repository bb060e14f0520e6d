"""`python -m bench NAME [options]`: one campaign or measurement; each ends with one JSON object."""

from __future__ import annotations

import importlib
import sys

NAMES = {
    "gateway": "latency, throughput and CPU of a call: direct, run, serve, pass-through, FastMCP proxy",
    "store": "commits a second beside the disk's floor",
    "decide": "a decision in process, part by part, beside one signature",
    "grant": "token, proof and pass checks beside one signature",
    "use": "a full checked use, durable: uses a second, CPU, and with 10^2 to 10^6 live grants",
    "kill": "from pulling the kill switch to the last call that went through, for each scope",
    "registry": "the registry at 10^2 to 10^6 entries, what an entry weighs, how fast a leaver is cut",
    "svid": "documents signed a second by one core, beside one signature, and with the ledger",
    "narrowing": "generated pairs: is a part of a grant ever more than the grant?",
    "delegation": "trees of grants spending at once, killed now and then: is the sum exact?",
    "text": "reading any text: smuggled, encoded and diluted orders, false alarms, CPU",
    "closed_loop": "AgentDojo live behind the gateway, scripted agents, its own checkers",
    "adaptive": "an attacker who knows the engine: forty kinds on twelve invented errands",
    "attack_texts": "300 texts aimed at the reader and the judge, in prompts, results and between agents",
    "intent": "labelled sessions judged by the engine: friction, misses, why, and CPU a call",
    "cascades": "tasks from agent to agent: how far off the person's words, honest and not",
    "dialogues": "a person's messages: steered step by step, and long benign ones",
    "questions": "how often a person is asked in recorded sessions: call by call, and endorsing sources",
    "race": "processes racing for one pass through a whole broker",
    "races": "2 to 32 holders racing for one pass: in the store, and in a broker in memory",
    "lostanswer": "answers lost at nine points of a call, kill -9 included: does the client get on, and pay once?",
    "stock": "stock DPoP clients with parallel callers through a network that delays; thieves beside them",
    "cut": "from a person's command to the end of what is under way",
    "same_proof": "one proof posted thousands of times at once: one is let out",
    "timing": "whether the time of a refusal tells what is known (Welch's t)",
    "crash": "kill -9 of a whole broker under load",
    "crash_store": "kill -9 of the store under load",
}


def main() -> int:
    """Run the one that is named."""
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        print("usage: python -m bench NAME [--json] [--help]\n")
        print("\n".join(f"  {name:<12} {what}" for name, what in NAMES.items()))
        return 2
    name = sys.argv.pop(1)
    return importlib.import_module(f"bench.{name}").main() or 0


if __name__ == "__main__":
    sys.exit(main())
