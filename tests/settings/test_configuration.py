"""What a wrong setting is told, and which source wins."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from dosremc_node.configuration import load
from dosremc_node.errors import UnknownSetting, WrongSetting
from dosremc_node.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]


def test_defaults_are_what_the_shipped_file_says() -> None:
    """config/node.toml documents the defaults, so loading it must change nothing."""
    assert load(REPOSITORY / "config" / "node.toml") == Settings()


def test_the_shipped_file_names_every_setting() -> None:
    """A setting that config/node.toml does not mention is one that nobody will find."""
    text = (REPOSITORY / "config" / "node.toml").read_text()
    tables = tomllib.loads(re.sub(r"\n# (?=\w+ = |\[\[)", "\n", text))
    sections = {name: field.annotation for name, field in Settings.model_fields.items() if name != "destinations"}
    missing = [f"{name}.{key}" for name, kind in sections.items() for key in kind.model_fields if key not in tables[name]]  # type: ignore[union-attr]
    assert missing == []


def test_options_beat_the_environment_and_that_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Precedence: --set, environment, file, default."""
    file = tmp_path / "node.toml"
    file.write_text('[node]\nname = "file"\nae_title = "FILE"\n[reception]\nport = 1\n')
    monkeypatch.setenv("DOSREMC_RECEPTION__PORT", "2")
    monkeypatch.setenv("DOSREMC_NODE__AE_TITLE", "ENVIRONMENT")
    settings = load(file, ["reception.port=3"])
    assert (settings.node.name, settings.node.ae_title, settings.reception.port) == ("file", "ENVIRONMENT", 3)


@pytest.mark.parametrize(
    ("text", "line", "key", "expected"),
    [
        ("[node]\n\n[reception]\nhost = '127.0.0.1'\nport = 99999\n", 5, "reception.port", "less than or equal to 65535"),
        ("[node]\nae_title = 'SEVENTEEN_LETTERS'\n", 2, "node.ae_title", "1 to 16"),
        ("[studies]\nunknown_scanner = 'guess'\n", 2, "studies.unknown_scanner", "'refuse', 'shadow' or 'nearest'"),
        (
            "[[destinations]]\nname='a'\nae_title='A'\nhost='h'\nport=1\n[[destinations]]\nname='b'\nae_title='B'\nhost='h'\nport=0\n",
            10,
            "destinations.1.port",
            "greater than",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_line_value_and_what_was_expected(
    tmp_path: Path, text: str, line: int, key: str, expected: str
) -> None:
    """An administrator must be able to mend the file from the message alone."""
    file = tmp_path / "node.toml"
    file.write_text(text)
    with pytest.raises(WrongSetting) as raised:
        load(file)
    message = str(raised.value)
    assert f"{file}, line {line}:" in message
    assert key in message
    assert expected in message


def test_tls_is_never_left_out_in_silence(tmp_path: Path) -> None:
    """A DICOMweb service that is spoken to by HTTP has no use for a tls table: whoever wrote one expects that it holds."""
    file = tmp_path / "node.toml"
    file.write_text("[[destinations]]\nname='a'\ndicomweb={url='http://pacs.example/dicom-web'}\ntls={}\n")
    with pytest.raises(WrongSetting, match=r"https://"):
        load(file, [])
    file.write_text("[[destinations]]\nname='a'\ndicomweb={url='https://pacs.example/dicom-web'}\ntls={}\n")
    assert load(file, []).destinations[0].tls is not None


def test_a_missing_key_of_a_destination_is_named(tmp_path: Path) -> None:
    """A destination without a host cannot be used, and the message says which key is missing."""
    file = tmp_path / "node.toml"
    file.write_text("[[destinations]]\nname='a'\nae_title='A'\nport=1\n")
    with pytest.raises(WrongSetting, match=r"line 1: destinations\.0\.host"):
        load(file)


@pytest.mark.parametrize(
    ("options", "variable", "match"),
    [
        (["reception.prot=3"], None, r"--set reception\.prot: there is no setting"),
        (["receptoin.port=3"], None, "there is no setting receptoin"),
        ([], "DOSREMC_RECEPTOIN__PORT", "environment: there is no setting DOSREMC_RECEPTOIN__PORT"),
        ([], "DOSREMC_RECEPTION__PROT", "DOSREMC_RECEPTION__PROT"),
    ],
)
def test_an_unknown_setting_is_an_error_wherever_it_comes_from(
    options: list[str], variable: str | None, match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt setting that is silently ignored is a node that does not do what it was told."""
    if variable:
        monkeypatch.setenv(variable, "3")
    with pytest.raises(UnknownSetting, match=match):
        load(None, options)
