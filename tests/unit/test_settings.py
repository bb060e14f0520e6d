"""The configuration file: what is wrong is refused with its line, what is right means what it says."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from jittrust.apps.marked_yaml import parse_marked
from jittrust.apps.mission_file import read_mission_file, written_mission
from jittrust.apps.settings import Settings, filled, json_schema, load_settings, overrides, setting_fields
from jittrust.apps.state_dir import default_state_dir, find_config, make_private
from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.errors import BadInputError

ROOT = Path(__file__).parents[2]
MOST_SETTINGS = 40


def load(
    folder: Path, text: str | bytes, environ: dict[str, str] | None = None, name: str = "jittrust.yaml"
) -> Settings:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_settings(file, environ or {})


def refused(folder: Path, text: str | bytes, environ: dict[str, str] | None = None) -> BadInputError:
    with pytest.raises(BadInputError) as caught:
        load(folder, text, environ)
    return caught.value


def test_without_a_file_everything_has_a_default() -> None:
    settings = load_settings(None, {})

    assert settings.listen.host == "127.0.0.1"
    assert settings.policy.file is None
    assert not settings.policy.observe
    assert settings.servers == {}


@pytest.mark.parametrize(
    ("text", "code", "place", "words"),
    [
        ("listen:\n  hostt: x\n", "config_unknown_key", ":2:3:", "did you mean 'host'"),
        ("servers:\n  git:\n    comand: x\n", "config_unknown_key", ":3:5:", "did you mean 'command'"),
        ("polcy: {}\n", "config_unknown_key", ":1:1:", "did you mean 'policy'"),
        ("<<: {a: 1}\n", "config_unknown_key", ":1:1:", "'<<'"),
        ("listen:\n  port: 99999\n", "config_bad_value", ":2:9:", "listen.port"),
        ("listen:\n  port: '80'\n", "config_bad_value", ":2:9:", "listen.port"),
        ("listen:\n  port: 8.5\n", "config_bad_value", ":2:9:", "listen.port"),
        ("listen: 3\n", "config_bad_value", ":1:9:", "a mapping of settings"),
        ("listen:\n", "config_bad_value", ":1:8:", "a mapping of settings"),
        ("log_level: loud\n", "config_bad_value", ":1:12:", "log_level"),
        ("policy:\n  observe: maybe\n", "config_bad_value", ":2:12:", "policy.observe"),
        ("servers:\n  a:\n    command: x\n    args: [1]\n", "config_bad_value", ":4:12:", "write it in quotes"),
        ("servers:\n  a:\n    command: x\n    env: {PORT: 80}\n", "config_bad_value", ":4:17:", "write it in quotes"),
        ("servers:\n  a: {}\n", "config_bad_value", ":2:6:", "either `command` or `url`"),
        ("servers:\n  a: {command: x, url: 'https://y'}\n", "config_bad_value", ":2:6:", "either `command` or `url`"),
        ("servers:\n  a: {url: 'ftp://y'}\n", "config_bad_value", ":2:6:", "https://"),
        ("servers:\n  a: {command: x, type: http}\n", "config_bad_value", ":2:6:", "does not fit"),
        ("servers:\n  'a b': {command: x}\n", "config_bad_value", ":2:", "a b"),
        ("servers: {}\nmcpServers: {}\n", "config_bad_value", ":1:1:", "keep one"),
        ("listen:\n  allowed_origins: ['*']\n", "config_bad_value", ":2:21:", "origin"),
        ("a: 1\nb: 2\na: 3\n", "config_syntax", ":3:1:", "written twice (first in line 1)"),
        ("a: [\n", "config_syntax", ":2:1:", ""),
        ("a: &x 1\n", "config_syntax", ":1:4:", "aliases"),
        ("a: *x\n", "config_syntax", ":1:4:", "aliases"),
        ("a: !!python/object/apply:os.system [x]\n", "config_syntax", ":1:4:", "tags"),
        ("a: 1\n---\nb: 2\n", "config_syntax", ":2:1:", ""),
        ("? [a]\n: b\n", "config_syntax", ":1:3:", "a word"),
        ("- 1\n", "config_syntax", ":1:1:", "mapping"),
        ("[" * 100_000, "config_syntax", ":1:33:", "nested deeper"),
        ("a: " + "9" * 10_000, "config_syntax", ":1:4:", ""),
        ("a: \x07\n", "config_syntax", "", "special characters"),
        (b"a: \xff\n", "config_syntax", "", "UTF-8"),
        (b"#" * (2 << 20), "config_syntax", "", "larger than"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_line(
    tmp_path: Path, text: str | bytes, code: str, place: str, words: str
) -> None:
    error = refused(tmp_path, text)

    assert error.code == code
    assert f"jittrust.yaml{place}" in error.message
    assert words in error.message


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    message = refused(tmp_path, "listen:\n  port: x\n  hostt: y\nlog_level: z\n").message

    assert [line.split(":")[1] for line in message.splitlines()] == ["4", "2", "3"]


def test_a_fault_never_prints_a_secret(tmp_path: Path) -> None:
    text = "servers:\n  a:\n    command: x\n    env: {TOKEN: hunter2}\n    nope: 1\n"

    assert "hunter2" not in str(refused(tmp_path, text))
    assert "hunter2" not in repr(load(tmp_path, text.replace("    nope: 1\n", "")))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for file in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(BadInputError) as caught:
            load_settings(file, {})

        assert caught.value.code == "config_missing"


def test_bombs_are_refused_quickly(tmp_path: Path) -> None:
    laughs = 'a: &a ["lol"]\n' + "".join(f"{n}: &{n} [*a,*a,*a]\n" for n in "bcdefgh")

    assert refused(tmp_path, laughs).code == "config_syntax"
    assert refused(tmp_path, "{" * 5000).code == "config_syntax"
    assert "too many" in refused(tmp_path, "a:\n" + "- 1\n" * 60_000).message


@given(st.text(max_size=200))
def test_no_text_makes_it_fall_over(text: str) -> None:
    try:
        parse_marked(text.encode("utf-8", "surrogatepass"), "x", "config")
    except BadInputError as error:
        assert error.code == "config_syntax"  # noqa: PT017 - most texts are no YAML, and both ends are fine


def test_a_clients_json_is_taken_as_it_is(tmp_path: Path) -> None:
    client = {
        "mcpServers": {
            "git": {
                "command": "uvx",
                "args": ["mcp-server-git"],
                "env": {"A": "${A:-b}"},
                "alwaysAllow": ["x"],
                "timeout": 9,
            },
            "web": {"type": "http", "url": "https://example.com/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}},
            "off": {"command": "nope", "disabled": True},
        },
        "theme": "dark",
    }
    settings = load(tmp_path, json.dumps(client, indent=2), {"TOKEN": "t"}, "mcp.json")

    assert set(settings.servers) == {"git", "web"}
    assert settings.servers["git"].secrets({}) == {"A": "b"}
    assert settings.servers["web"].secrets({"TOKEN": "t"}) == {"Authorization": "Bearer t"}
    pasted = load(tmp_path, json.dumps({"mcpServers": {"git": {"command": "uvx", "args": ["mcp-server-git"]}}}))
    assert pasted.servers["git"].args == ("mcp-server-git",)


def test_a_json_file_without_servers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError) as caught:
        load(tmp_path, "{}", name="mcp.json")

    assert caught.value.code == "config_bad_value"


def test_a_variable_that_is_not_set_is_refused_with_its_line(tmp_path: Path) -> None:
    error = refused(tmp_path, "servers:\n  a:\n    command: x\n    env:\n      T: a${NOPE}b\n")

    assert error.code == "config_bad_value"
    assert ":5:10:" in error.message
    assert "NOPE" in error.message
    assert filled("a${X}b${Y:-}c$Z${", {"X": "1"}) == "a1bc$Z${"


def test_the_environment_overrides_the_file_and_a_misspelt_variable_is_refused(tmp_path: Path) -> None:
    environ = {"JITTRUST_LISTEN_PORT": "0", "JITTRUST_POLICY_OBSERVE": "true", "JITTRUST_LISTEN_ALLOWED_HOSTS": "a, b"}
    settings = load(tmp_path, "listen: {port: 1}\n", {**environ, "JITTRUST_DEBUG": "1", "HOME": "/"})

    assert (settings.listen.port, settings.policy.observe, settings.listen.allowed_hosts) == (0, True, ("a", "b"))
    assert refused(tmp_path, "", {"JITTRUST_LISTN_PORT": "1"}).code == "config_unknown_key"
    for name, value in (
        ("LISTEN_PORT", "x"),
        ("POLICY_OBSERVE", "perhaps"),
        ("LISTEN_PORT", "70000"),
        ("LOG_LEVEL", "loud"),
    ):
        assert refused(tmp_path, "", {f"JITTRUST_{name}": value}).code == "config_bad_value"
    assert "JITTRUST_STATE_DIR" in overrides()


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    settings = load(tmp_path, "policy: {file: p.cedar}\nstate_dir: ~/x\n")

    assert settings.policy.file == tmp_path / "p.cedar"
    assert settings.state_dir == Path.home() / "x"


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        load(tmp_path, "").log_level = "debug"


def test_the_configuration_is_never_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "jittrust.yaml").write_text("")
    monkeypatch.chdir(tmp_path / "here")

    assert find_config(None, tmp_path / "state") is None
    assert find_config(None, tmp_path / "here") == tmp_path / "here" / "jittrust.yaml"
    with pytest.raises(BadInputError):
        find_config(tmp_path / "none.yaml", tmp_path)


def test_the_state_directory_follows_the_platform_and_is_private(tmp_path: Path) -> None:
    assert default_state_dir({"XDG_DATA_HOME": "/data"}, "linux") == Path("/data/jittrust")
    assert default_state_dir({"XDG_DATA_HOME": "data"}, "linux") == Path.home() / ".local/share/jittrust"
    assert default_state_dir({"JITTRUST_STATE_DIR": "/s", "XDG_DATA_HOME": "/data"}, "linux") == Path("/s")
    assert default_state_dir({}, "darwin").parts[-2:] == ("Application Support", "jittrust")
    open_one = tmp_path / "open"
    open_one.mkdir(mode=0o755)
    assert make_private(open_one).stat().st_mode & 0o077 == 0
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError):
        make_private(tmp_path / "file" / "below")


def test_there_are_at_most_forty_settings_each_described() -> None:
    fields = dict(setting_fields())

    assert len(fields) <= MOST_SETTINGS
    assert [path for path, about in fields.items() if not about.description] == []  # type: ignore[attr-defined]


def test_the_published_schema_is_that_of_the_code_and_takes_the_example() -> None:
    published = json.loads((ROOT / "docs" / "jittrust.schema.json").read_text(encoding="utf-8"))
    example = yaml.safe_load((ROOT / "examples" / "jittrust.yaml").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(published)
    checker = jsonschema.Draft202012Validator(published)

    assert published == json_schema()
    assert list(checker.iter_errors(example)) == []
    faults: tuple[dict[str, object], ...] = (
        {"nope": 1},
        {"listen": {"port": "1"}},
        {"servers": {"a": {}}},
        {"servers": {}, "mcpServers": {}},
    )
    for wrong in faults:
        assert list(checker.iter_errors(wrong)) != []


def test_the_example_loads_and_points_editors_to_the_schema() -> None:
    text = (ROOT / "examples" / "jittrust.yaml").read_text(encoding="utf-8")

    assert text.startswith("# yaml-language-server: $schema=../docs/jittrust.schema.json")
    settings = load_settings(ROOT / "examples" / "jittrust.yaml", {})
    assert settings.policy.file == ROOT / "examples" / "policy.cedar"


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("goal: x\nentries:\n  - tol: a/b\n", "mission_file_unknown_key", ":3:5:"),
        ("goal: x\nentries:\n  - tool: ab\n", "mission_file_bad_value", ":3:11:"),
        ("goal: x\nentries:\n  - tool: 'a/*'\n    resource: '('\n", "mission_file_bad_value", ":4:15:"),
        ("goal: x\nentries:\n  - tool: a/b\n    constraints: {type: nope}\n", "mission_file_bad_value", ":4:18:"),
        ("goal: x\nentries:\n  - tool: a/b\n    uses: 0\n", "mission_file_bad_value", ":4:11:"),
        ("goal: '  '\n", "mission_file_bad_value", ":1:1:"),
        ("minutes: 5\n", "mission_file_bad_value", ":1:1:"),
        ("goal: x\nminutes: 5000\n", "mission_file_bad_value", ":2:10:"),
        ("goal: x\ngoal: y\n", "mission_file_syntax", ":2:1:"),
    ],
)
def test_a_mission_file_is_refused_with_its_line(tmp_path: Path, text: str, code: str, place: str) -> None:
    file = tmp_path / "mission.yaml"
    file.write_text(text)
    with pytest.raises(BadInputError) as caught:
        read_mission_file(file)

    assert caught.value.code == code
    assert f"mission.yaml{place}" in caught.value.message


def test_a_mission_file_that_was_written_reads_back_the_same(tmp_path: Path) -> None:
    entries = (
        AuthorityEntry(
            "e-1", "git/log", why="Über\nzwei", state=EntryState.APPROVED, approved_by="policy:x", pin="ab" * 32
        ),
        AuthorityEntry(
            "e-2", "a/b", "resources/read", r"x: .*\d", {"required": ["q"], "properties": {"n": {"const": 1.5}}}, 3
        ),
        AuthorityEntry("e-3", "a/c", state=EntryState.REFUSED),
    )
    file = tmp_path / "mission.yaml"
    file.write_text(written_mission("Do: it # now", 7, entries, 2), encoding="utf-8")
    read = read_mission_file(file)
    back = read.authority("ada")

    assert (read.goal, read.minutes, read.lanes) == ("Do: it # now", 7, 2)
    assert [(e.tool, e.action, e.resource, e.constraints, e.uses_left, e.state, e.pin) for e in back] == [
        (e.tool, e.action, e.resource, e.constraints, e.uses_left, e.state, e.pin) for e in entries[:2]
    ]
    assert [e.approved_by for e in back] == ["ada", ""]
    assert len({e.id for e in back}) == len(back)
    assert read_mission_file(ROOT / "examples" / "mission.yaml").authority("ada")
