"""`approve` and `deny`: a person's answer to what waits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jittrust.apps.cli.failure import DONE
from jittrust.apps.cli.options import AsJson, PinStdin, State
from jittrust.apps.cli.output import emit, moment, say, table
from jittrust.apps.cli.reach import asked, person, read_pin, state_of
from jittrust.core.approval import Approval, ConfirmedBy, chosen
from jittrust.core.authority.endorsement import endorsement_text
from jittrust.core.errors import BadInputError, NotFoundError
from jittrust.ports.approvals import Answer
from jittrust.ports.driving import Driving

QuestionId = Annotated[str, typer.Argument(metavar="ID", help="Id of the question, or the start of one.")]


def approve(
    question: QuestionId = "",
    endorse: Annotated[
        bool,
        typer.Option(
            "--endorse",
            help="Yes to the source that the question offers: what it says may direct acts of the shown kinds, without a question each time.",
        ),
    ] = False,
    up_to: Annotated[
        float | None,
        typer.Option(
            "--up-to",
            min=0,
            metavar="AMOUNT",
            help="With --endorse: what the amounts of such acts may add up to; default: the amount of this call.",
        ),
    ] = None,
    set_pin: Annotated[bool, typer.Option("--set-pin", help="Set or change the approver's PIN.")] = False,
    pin_stdin: PinStdin = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Say yes to one question: the exact call goes through once. Asks for the PIN. Without ID: list what waits.

    An agent cannot do this for itself: the PIN is yours, and processes that descend from an agent are refused.

    [bold]For example[/bold]

      jittrust approve --set-pin     # once

      jittrust approve               # what waits

      jittrust approve a-7k2

      jittrust approve a-7k2 --endorse --up-to 100
    """
    if up_to is not None and not endorse:
        raise BadInputError("bad_usage", "--up-to goes with --endorse", "See: jittrust approve --help")
    if set_pin:
        return _set_pin(state, pin_stdin=pin_stdin, as_json=as_json)
    if not question:
        return _waiting(state, as_json=as_json)
    found = asked(state, lambda driving: _find(driving, question))
    if not as_json:
        _show(found)
    if endorse:
        # What cannot be said yes to is told before anybody types a PIN.
        shown = chosen(found, up_to)
        if not as_json and shown.offer is not None:
            say(f"  You endorse {endorsement_text(shown.offer)}")
    pin = read_pin(from_stdin=pin_stdin)
    answer = Answer(approve=True, by=person(), confirmed_by=ConfirmedBy.PIN, pin=pin, endorse=endorse, up_to=up_to)
    return _answered(asked(state, lambda driving: driving.approvals.answer(found.id, answer)), as_json=as_json)


def deny(question: QuestionId, state: State = None, as_json: AsJson = False) -> int:
    """Say no to one question. Takes no PIN: a no opens nothing.

    [bold]For example[/bold]

      jittrust deny a-7k2
    """

    async def answer(driving: Driving) -> Approval:
        found = await _find(driving, question)
        return await driving.approvals.answer(
            found.id, Answer(approve=False, by=person(), confirmed_by=ConfirmedBy.NOBODY)
        )

    return _answered(asked(state, answer), as_json=as_json)


async def _find(driving: Driving, named: str) -> Approval:
    waiting = await driving.approvals.waiting()
    near = [one for one in waiting if one.id == named] or [one for one in waiting if one.id.startswith(named)]
    if len(near) != 1:
        what = f"{named} names {len(near)} questions" if near else f"No question {named} waits"
        raise NotFoundError("approval_unknown", what, "What waits: jittrust approve")
    return near[0]


def _waiting(state: Path | None, *, as_json: bool) -> int:
    waiting = asked(state, lambda driving: driving.approvals.waiting())
    if as_json:
        emit({"waiting": waiting})
        return DONE
    rows = ((one.id, one.kind, one.target, one.text, f"{one.risk} %", moment(one.expires)) for one in waiting)
    table(("ID", "KIND", "ON", "WHAT", "RISK", "UNTIL"), rows, "Nothing waits for you.")
    if waiting:
        say(f"\nNext: jittrust approve {waiting[0].id}, or jittrust deny {waiting[0].id}")
        source = next((one.id for one in waiting if one.offer is not None), "")
        if source:
            say(f"Once for all that its source says: jittrust approve {source} --endorse")
    return DONE


def _show(found: Approval) -> None:
    say(f"{found.kind} on {found.target}, asked by {found.subject or 'nobody'} in {found.mission or 'no mission'}")
    say(f"  What    {found.text}")
    say(f"  Why     {found.why}")
    say(f"  Risk    {found.risk} %    Price  {int(found.price)} gas    Until  {moment(found.expires)}")
    if found.offer is not None:
        say(f"  Or once for all (--endorse): {endorsement_text(found.offer)}")
        if found.offer.warned:
            say("  CAREFUL: this text reads like orders to a model. Look at it yourself before you endorse it.")


def _answered(found: Approval, *, as_json: bool) -> int:
    if as_json:
        emit({"approval": found})
    else:
        say(f"{found.id} is {found.state}.")
    return DONE


def _set_pin(state: Path | None, *, pin_stdin: bool, as_json: bool) -> int:
    from jittrust.adapters.files.pin import PinFile
    from jittrust.adapters.system.clock import SteadyClock
    from jittrust.apps.state_dir import make_private

    kept = PinFile(make_private(state_of(state)), SteadyClock())
    # With --pin-stdin: the old PIN on the first line when there is one, the new one on the next.
    old = read_pin(from_stdin=pin_stdin, prompt="Old PIN: ") if kept.is_set() else None
    new = read_pin(from_stdin=pin_stdin, prompt="New PIN (6 characters or more): ")
    if not pin_stdin and read_pin(from_stdin=False, prompt="Once more: ") != new:
        raise BadInputError("pin_differs", "The two PINs differ", "Nothing was changed; try again.")
    kept.set(new, old)
    if as_json:
        emit({"pin": "set"})
    else:
        say("The PIN is set. It is asked for by jittrust approve and whenever a mission's map is widened.")
    return DONE
