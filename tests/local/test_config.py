"""The configuration file: profiles, where tokens come from, and every mistake by its name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from compute_executor.errors import InvalidRequest, NotAuthorized
from compute_executor.local import config


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv(config.CONFIG, str(path))
    monkeypatch.delenv(config.PROFILE, raising=False)
    monkeypatch.delenv(config.TOKEN, raising=False)
    return path


def test_without_a_file_there_is_no_profile(file: Path) -> None:
    assert config.find_profile() is None
    with pytest.raises(InvalidRequest, match="no profile 'lab'"):
        config.find_profile("lab")


def test_the_profile_that_is_named_else_the_programs_else_the_files(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = "".join(f'[profiles.{name}]\nurl = "http://{name}"\n' for name in "abc")
    file.write_text(f'profile = "a"\n{tables}')
    monkeypatch.setenv(config.PROFILE, "b")
    found = [config.find_profile("c"), config.find_profile()]
    monkeypatch.delenv(config.PROFILE)
    found.append(config.find_profile())
    assert [profile.url if profile else None for profile in found] == ["http://c", "http://b", "http://a"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[profiles.lab]\nurl = "x"\ntokenfile = "y"', r"profiles\.lab\.tokenfile .*did you mean token_file"),
        ('profil = "lab"', r"profil means nothing \(did you mean profile"),
        ('[profiles.lab]\ntoken_file = "y"', "missing required field `url`"),
        ("[profiles.lab]\nurl = 5", "url"),
        ("profiles = 3", "profiles"),
        ("url = ", "wrong"),
    ],
)
def test_a_mistake_is_named_with_the_file(file: Path, text: str, told: str) -> None:
    file.write_text(text)
    with pytest.raises(InvalidRequest, match=told) as caught:
        config.load()
    assert str(file) in str(caught.value)


def test_bytes_that_are_no_text(file: Path) -> None:
    file.write_bytes(b'profile = "\xff"')
    with pytest.raises(InvalidRequest, match="wrong"):
        config.load()


def test_a_near_name_of_a_profile(file: Path) -> None:
    file.write_text('[profiles.laboratory]\nurl = "x"')
    with pytest.raises(InvalidRequest, match="did you mean laboratory"):
        config.find_profile("laboratry")


def test_a_token_from_a_file_a_command_or_the_environment(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(" one \n")
    assert config.Profile("x", token_file=str(tmp_path / "token")).token() == "one"
    printing = [sys.executable, "-c", "print('two')"]
    assert config.Profile("x", token_command=printing).token() == "two"
    assert config.Profile("x", token_command="echo three").token() == "three"
    monkeypatch.setenv(config.TOKEN, "four")
    assert config.Profile("x").token() == "four"


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        (config.Profile("x"), "set COMPUTE_EXECUTOR_TOKEN"),
        (config.Profile("x", token_file="/nowhere"), "/nowhere cannot be read"),
        (config.Profile("x", token_file="/dev/null"), "is empty"),
        (config.Profile("x", token_command="false"), "failed: CalledProcessError"),
        (config.Profile("x", token_command="/nowhere"), "failed"),
        (config.Profile("x", token_command="true"), "printed nothing"),
    ],
)
def test_no_token_to_be_had(file: Path, profile: config.Profile, told: str) -> None:
    with pytest.raises(NotAuthorized, match=told):
        profile.token()


def test_defaults_and_limits(file: Path) -> None:
    assert config.load().defaults == config.Defaults()
    file.write_text('[defaults]\nmax_workers = 3\noutput = "log"\n[limits]\nkeep = "14d"\nworkers = 8\n')
    found = config.load()
    assert (found.defaults, found.limits) == (config.Defaults(3, "log"), {"keep": "14d", "workers": 8})
    for wrong, told in (("max_worker = 3", "did you mean max_workers"), ('output = "loud"', "output")):
        file.write_text(f"[defaults]\n{wrong}\n")
        with pytest.raises(InvalidRequest, match=told):
            config.load()


def test_files_that_profiles_name_are_looked_at(file: Path, tmp_path: Path) -> None:
    token, certificate = tmp_path / "token", tmp_path / "ca.pem"
    file.write_text(
        f'[profiles.lab]\nurl = "http://x"\ntoken_file = "{token}"\ncertificate = "{certificate}"\n'
        '[profiles.home]\nurl = "http://y"\ntoken_command = "false"\n'
    )
    assert config.troubles(config.load()) == {"lab": f"{token} is not there"}
    token.write_text("t")
    token.chmod(0o644)
    assert config.troubles(config.load()) == {"lab": f"{certificate} is not there"}
    certificate.write_text("c")
    assert config.troubles(config.load()) == {"lab": f"{token} can be read by others (chmod 600)"}
    token.chmod(0o600)
    assert config.troubles(config.load()) == {}
