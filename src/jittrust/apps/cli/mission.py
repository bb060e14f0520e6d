"""`jittrust mission`: say what an agent is for, look at the map, end it."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from jittrust.apps.cli.contract import read_token, show_contract, show_map, show_sources
from jittrust.apps.cli.failure import DONE, REFUSED
from jittrust.apps.cli.options import AsJson, PinStdin, State
from jittrust.apps.cli.output import emit, moment, say, table, working
from jittrust.apps.cli.reach import asked, person, read_pin, state_of
from jittrust.core.authority.map import EntryState
from jittrust.core.errors import BadInputError, NotFoundError, RefusedError
from jittrust.core.mission.contract import SignedContract, contract_widenings
from jittrust.core.mission.mission import Goal, GoalSource, Mission
from jittrust.core.mission.states import ENDED, MissionState
from jittrust.core.model import Tool
from jittrust.ports.driving import Driving
from jittrust.ports.missions import MissionChange, MissionView, NewMission

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")

MissionId = Annotated[
    str, typer.Argument(metavar="MISSION", help="Mission id, or the start of one; `current` is the newest that runs.")
]
_EDITORS: Final = ("VISUAL", "EDITOR")


@app.command()
def plan(
    goal: Annotated[str, typer.Option("--goal", help="What the agent is to do, in one sentence.")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND…", help="The stdio MCP server to plan for.")
    ] = None,
    server: Annotated[str, typer.Option("--server", help="Name of the server; default: made from COMMAND.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the map to a mission file, to edit.")
    ] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Open the map in $EDITOR, then approve and start it.")] = False,
    start_it: Annotated[
        bool, typer.Option("--start", help="Start the mission with what was planned; asks for the PIN.")
    ] = False,
    minutes: Annotated[int, typer.Option("--minutes", min=1, max=480, help="How long the permission lasts.")] = 60,
    signed: Annotated[
        Path | None, typer.Option("--signed", metavar="FILE", help="Write the signed contract (JWS) to a file.")
    ] = None,
    pin_stdin: PinStdin = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Show the contract that a goal would open, before anything runs: how the words are read, which tools, which values, how much.

    The server is started only to list its tools. Without COMMAND: plan over every server the broker has seen.

    [bold]For example[/bold]

      jittrust mission plan --goal "Summarise the commits" -- mcp-server-git

      jittrust mission plan --goal "Pay invoice 17" --edit -- my-server

      jittrust mission plan --goal "Pay invoice 17" --out pay.yaml -- my-server
    """
    tools: Sequence[Tool] = ()
    if command:
        with working(f"Listing the tools of {command[0]} …", as_json=as_json):
            tools = _catalogue(command, server)
    planned = asked(state, lambda driving: driving.contracts.plan(goal, tools, minutes))
    entries = list(planned.contract.authority.entries)
    sources = planned.contract.authority.endorsements
    shown = {entry.tool for entry in entries}
    closed = [tool for tool in tools if tool.id not in shown]
    if as_json and not (edit or start_it):
        emit(
            {
                "goal": goal,
                "entries": entries,
                "left_out": [tool.id for tool in closed],
                "contract": planned.contract,
                "signed": planned.token,
            }
        )
    elif not as_json:
        show_contract(planned.contract)
        if closed:
            say(f"\nLeft out: {', '.join(tool.id for tool in closed)}")
    if signed is not None:
        signed.write_text(planned.token + "\n", encoding="ascii")
    if out is None and not edit and not start_it:
        if not as_json:
            say("\nNext: the same with --edit or --start, or write it to a file with --out FILE.")
        return DONE
    from jittrust.apps.mission_file import read_mission_file, written_mission

    text = written_mission(goal, minutes, entries, endorsements=sources)
    if edit:
        with tempfile.TemporaryDirectory(prefix="jittrust-") as folder:
            file = Path(folder) / "mission.yaml"
            file.write_text(text, encoding="utf-8")
            _edit(file)
            edited = file.read_text(encoding="utf-8")
            read = read_mission_file(file)
        text = edited
        goal, minutes, entries = read.goal, read.minutes, list(read.authority(person()))
        sources = read.endorsed(person())
    if out is not None:
        out.write_text(text, encoding="utf-8")
        if not as_json:
            say(f"\nWritten: {out}\nNext: jittrust mission start --file {shlex.quote(str(out))}")
    if edit or start_it:
        new = NewMission(person(), goal, GoalSource.FILE, tuple(entries), minutes=minutes, endorsements=sources)
        return _started(state, new, pin_stdin=pin_stdin, as_json=as_json)
    return DONE


@app.command()
def start(
    goal: Annotated[str, typer.Option("--goal", help="What the agent is to do, in one sentence.")] = "",
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="A mission file: goal and map (asks for the PIN).")
    ] = None,
    minutes: Annotated[
        int | None,
        typer.Option(
            "--minutes",
            min=1,
            max=480,
            help="How long the permission lasts; default and most: `mission.minutes` of the settings.",
        ),
    ] = None,
    observe: Annotated[bool, typer.Option("--observe", help="Record every verdict and stop nothing.")] = False,
    request: Annotated[str, typer.Option("--request", help="Your own id: the same id starts one mission only.")] = "",
    endorse: Annotated[
        list[str] | None,
        typer.Option(
            "--endorse",
            metavar="ID",
            help="A source that the goal points at may direct its acts (ids: `jittrust mission plan`); asks for the PIN; may be repeated.",
        ),
    ] = None,
    pin_stdin: PinStdin = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """State a goal: from now on this is what your agent is for. A mission that runs is completed.

    [bold]For example[/bold]

      jittrust mission start --goal "Summarise last week's commits"

      jittrust mission start --file map.yaml

      jittrust mission start --goal "Pay the bill in bill.txt" --endorse s-1c5a9e22b0
    """
    if bool(goal) == (file is not None):
        raise BadInputError("bad_usage", "Say either --goal TEXT or --file FILE", "See: jittrust mission start --help")
    if file is not None and endorse:
        raise BadInputError(
            "bad_usage", "--endorse goes with --goal", "A file lists its sources under `endorsements:`."
        )
    if file is None:
        new = NewMission(
            person(),
            goal,
            GoalSource.MISSION_START,
            minutes=minutes,
            observe=observe,
            request=request,
            endorse=tuple(endorse or ()),
        )
        return _started(state, new, pin_stdin=pin_stdin, as_json=as_json)
    from jittrust.apps.mission_file import read_mission_file

    read = read_mission_file(file)
    new = NewMission(
        person(),
        read.goal,
        GoalSource.FILE,
        read.authority(person()),
        minutes=minutes or read.minutes,
        observe=observe,
        request=request,
        lanes=read.lanes,
        endorsements=read.endorsed(person()),
    )
    return _started(state, new, pin_stdin=pin_stdin, as_json=as_json)


@app.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Also the ended ones.")] = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """List missions, newest first.

    [bold]For example[/bold]

      jittrust mission list --all
    """
    views = [
        view
        for view in asked(state, lambda driving: driving.missions.list())
        if every or view.mission.state not in ENDED
    ]
    if as_json:
        emit({"missions": views})
        return DONE
    rows = (
        (v.mission.id, v.mission.state, _first_line(v.mission.goal), len(v.mission.authority.approved), v.standing.state, v.standing.calls,
         v.standing.refused, moment(v.mission.expires))
        for v in views
    )  # fmt: skip
    table(
        ("MISSION", "STATE", "GOAL", "TOOLS", "SESSION", "CALLS", "REFUSED", "UNTIL"),
        rows,
        'There is no mission. Next: jittrust mission start --goal "…"',
    )
    return DONE


@app.command()
def show(mission: MissionId = "current", state: State = None, as_json: AsJson = False) -> int:
    """Show a mission: its goal, its map, how its agent stands.

    [bold]For example[/bold]

      jittrust mission show
    """
    view = asked(state, lambda driving: _find(driving, mission))
    if as_json:
        emit(view)
        return DONE
    found = view.mission
    say(f"Mission   {found.id}  {found.state}{'  OBSERVE: nothing is stopped' if found.observe else ''}")
    say(f"Goal      {found.goal.text or '(none yet)'}  [{found.goal.source}]")
    say(f"Person    {found.person}    Agent  {found.agent or '(none yet)'}")
    say(f"Until     {moment(found.expires)}")
    say(
        f"Session   {view.standing.state}, trust {view.standing.trust:.0f} of 100, {view.standing.calls} calls, {view.standing.refused} refused"
    )
    if found.why_ended:
        say(f"Ended     {found.why_ended}")
    say()
    show_map(found.authority.entries, "The map is empty: every consequential call asks you.")
    show_sources(found.authority.endorsements)
    return DONE


@app.command()
def contract(
    mission: MissionId = "current",
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Read a signed contract instead; its signature is checked."),
    ] = None,
    inside: Annotated[
        Path | None,
        typer.Option(
            "--inside", metavar="FILE", help="Prove that it lies inside this signed contract; ends with 1 if not."
        ),
    ] = None,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Show what a mission's contract says: clauses, tools, which values each argument may carry, limits. Signed by the broker.

    [bold]For example[/bold]

      jittrust mission contract

      jittrust mission contract --file child.jws --inside parent.jws
    """

    async def read(driving: Driving, from_: Path) -> SignedContract:
        token = read_token(from_)
        return SignedContract(await driving.contracts.read(token), token)

    async def found(driving: Driving) -> tuple[SignedContract, SignedContract | None]:
        if file is not None:
            shown = await read(driving, file)
        else:
            shown = await driving.contracts.of((await _find(driving, mission)).mission.id)
        return shown, None if inside is None else await read(driving, inside)

    shown, parent = asked(state, found)
    widenings = () if parent is None else contract_widenings(parent.contract, shown.contract)
    if as_json:
        emit({"contract": shown.contract, "signed": shown.token, "widens": widenings})
    else:
        show_contract(shown.contract)
        if parent is not None:
            say()
            say(
                "It lies inside the other contract."
                if not widenings
                else "It is not provably inside the other contract:"
            )
            table(("WHERE", "WHY"), ((one.code, one.fact) for one in widenings), "")
    return REFUSED if widenings else DONE


@app.command()
def approve(
    mission: MissionId,
    entry: Annotated[
        list[str] | None,
        typer.Option("--entry", metavar="ID", help="Only this entry, or this source; may be repeated."),
    ] = None,
    refuse: Annotated[
        list[str] | None,
        typer.Option("--refuse", metavar="ID", help="Refuse this entry, or this source; may be repeated."),
    ] = None,
    pin_stdin: PinStdin = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Approve what a mission's map only proposes, or take it back. Asks for the PIN.

    Sources that may direct acts are approved by their id alone, never all at once.

    [bold]For example[/bold]

      jittrust mission approve current

      jittrust mission approve m-4f2 --entry e-1a --refuse e-2b

      jittrust mission approve current --refuse s-1c5a9e22b0
    """

    async def change(driving: Driving) -> Mission:
        view = await _find(driving, mission)
        waiting = [e.id for e in view.mission.authority.entries if e.state is EntryState.PROPOSED]
        chosen = tuple(entry or [one for one in waiting if one not in (refuse or ())])
        if not chosen and not refuse:
            raise NotFoundError(
                "nothing_waits",
                f"Nothing of {view.mission.id} waits for approval",
                f"jittrust mission show {view.mission.id}",
            )
        return await driving.missions.change(
            view.mission.id,
            MissionChange(approve=chosen, refuse=tuple(refuse or ()), by=person(), pin=pin),
        )

    pin = _asked_pin(state, pin_stdin=pin_stdin)
    changed = asked(state, change)
    if as_json:
        emit({"mission": changed})
        return DONE
    show_map(changed.authority.entries, "The map is empty.")
    show_sources(changed.authority.endorsements)
    return DONE


@app.command()
def end(
    mission: MissionId = "current",
    why: Annotated[str, typer.Option("--why", help="Goes into the ledger.")] = "",
    kill: Annotated[bool, typer.Option("--kill", help="Terminated instead of completed.")] = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """End a mission: its grants die at once.

    [bold]For example[/bold]

      jittrust mission end

      jittrust mission end m-4f2 --kill --why "it looked into HR"
    """

    async def change(driving: Driving) -> Mission:
        view = await _find(driving, mission)
        to = MissionState.TERMINATED if kill else MissionState.COMPLETED
        return await driving.missions.change(view.mission.id, MissionChange(to=to, why=why, by=person()))

    changed = asked(state, change)
    if as_json:
        emit({"mission": changed})
    else:
        say(f"{changed.id} is {changed.state}.")
    return DONE


def _started(state: Path | None, new: NewMission, *, pin_stdin: bool, as_json: bool) -> int:
    if new.entries or new.endorsements or new.endorse:
        # A map that a person wrote widens what may be done, so it takes the person's PIN like every approval.
        new = replace(new, pin=_asked_pin(state, pin_stdin=pin_stdin))
    mission = asked(state, lambda driving: driving.missions.start(new))
    if as_json:
        emit({"mission": mission})
        return DONE
    say(f"{mission.id} is {mission.state} until {moment(mission.expires)}.")
    if mission.observe:
        say("OBSERVE: verdicts are recorded and nothing is stopped.")
    say()
    show_map(mission.authority.entries, "No tool is known yet: the map is made when the first server joins.")
    show_sources(mission.authority.endorsements)
    if any(entry.state is EntryState.PROPOSED for entry in mission.authority.entries):
        say(f"\nNext: jittrust mission approve {mission.id}")
    return DONE


def _asked_pin(state: Path | None, *, pin_stdin: bool) -> str:
    """Ask for the approver's PIN; the broker checks it.

    Raises:
        RefusedError: code `pin_not_set`, before anything is asked.
    """
    from jittrust.adapters.files.pin import PinFile
    from jittrust.adapters.system.clock import SteadyClock

    if not PinFile(state_of(state), SteadyClock()).is_set():
        raise RefusedError("pin_not_set", "No approver's PIN is set", "Set one: jittrust approve --set-pin")
    return read_pin(from_stdin=pin_stdin)


def _catalogue(command: Sequence[str], server: str) -> Sequence[Tool]:
    import asyncio

    from jittrust import __version__
    from jittrust.adapters.files.models import shipped_access
    from jittrust.adapters.mcpclient.catalogue import list_tools
    from jittrust.apps.cli.run import server_name
    from jittrust.broker.definitions import tool_of
    from jittrust.core.authority.pin import judge_definition
    from jittrust.core.units import Instant

    name = server or server_name(command)
    definitions = asyncio.run(list_tools(command, version=__version__))
    model = shipped_access()
    return [
        tool_of(judge_definition(None, name, str(shown["name"]), shown, Instant(0)), model) for shown in definitions
    ]


async def _find(driving: Driving, named: str) -> MissionView:
    views = await driving.missions.list()
    if named == "current":
        views = [view for view in views if view.mission.person == person() and view.mission.state not in ENDED]
        if not views:
            raise NotFoundError("mission_unknown", "No mission runs", 'jittrust mission start --goal "…"')
        return views[0]
    exact = [view for view in views if view.mission.id == named]
    near = exact or [view for view in views if view.mission.id.startswith(named)]
    if len(near) != 1:
        what = f"{named} names {len(near)} missions" if near else f"There is no mission {named}"
        raise NotFoundError("mission_unknown", what, "jittrust mission list --all")
    return near[0]


def _first_line(goal: Goal) -> str:
    text = goal.text.replace("\n", " / ")
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004 - width of a column


def _edit(file: Path) -> None:
    editor = next((os.environ[name] for name in _EDITORS if os.environ.get(name)), "vi")
    try:
        ended = subprocess.run([*shlex.split(editor), str(file)], check=False).returncode
    except (OSError, ValueError) as error:
        raise BadInputError(
            "editor_failed", f"The editor {editor} cannot be started", "Set EDITOR, or use --out FILE."
        ) from error
    if ended:
        raise BadInputError(
            "editor_failed", f"The editor ended with {ended}: nothing was approved", "Try again, or use --out FILE."
        )
