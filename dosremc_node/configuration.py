"""Where settings come from: the TOML file, the environment and ``--set`` options, merged into one `Settings` tree.

Precedence, highest first: ``--set section.key=value``, environment ``DOSREMC_SECTION__KEY``, the file, the defaults.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from dosremc_node.errors import NodeError, UnknownSetting, WrongSetting
from dosremc_node.settings import Destination, Settings

_OTHER_VARIABLES = frozenset({"DOSREMC_CONFIG", "DOSREMC_TEST_DATA"})


def load(file: Path | None, options: Sequence[str] = ()) -> Settings:
    """Read ``file`` (TOML, or None), the environment and ``options`` (``section.key=value``) into one tree.

    Raises `WrongSetting` or `UnknownSetting`, which name the key, its value, where it stands and what was expected.
    """
    layers = [_file_layer(file), _environment_layer(), _options_layer(options)]
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merged(merged, layer.values)
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise _explain(error, layers) from None


class _Layer:
    """One source of settings, which can say where each of its keys stands."""

    def __init__(self, values: dict[str, Any], place: Callable[[tuple[str | int, ...]], str]) -> None:
        self.values = values
        self.place = place

    def has(self, path: tuple[str | int, ...]) -> bool:
        value: Any = self.values
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return False
        return True


def shipped(name: str) -> Path:
    """A file of this installation's ``config/``: inside the package where it came as a wheel, beside it in a working copy."""
    package = Path(__file__).resolve().parent
    inside = package / "config" / name
    return inside if inside.is_file() else package.parent / "config" / name


def _file_layer(file: Path | None) -> _Layer:
    if file is None:
        return _Layer({}, lambda _: "")
    try:
        text = file.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise WrongSetting(
            where="--config", key="file", value=str(file), expected=f"a readable file is expected ({error.strerror})"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongSetting(where=str(file), key="file", value=file.name, expected=f"TOML text is expected ({error})") from None
    return _Layer(values, lambda path: f"{file}, line {_line_of(text, path)}")


class _FromEnvironment(BaseSettings, Settings):
    model_config = SettingsConfigDict(env_prefix="DOSREMC_", env_nested_delimiter="__")


def _environment_layer() -> _Layer:
    for name in os.environ:
        section = name.removeprefix("DOSREMC_").split("__")[0].lower()
        if name.startswith("DOSREMC_") and name not in _OTHER_VARIABLES and section not in Settings.model_fields:
            raise UnknownSetting(where="environment", key=name, remedy=_known(Settings))
    values = EnvSettingsSource(_FromEnvironment)()
    return _Layer(values, lambda path: "environment variable DOSREMC_" + "__".join(str(step).upper() for step in path[:2]))


def _options_layer(options: Sequence[str]) -> _Layer:
    values: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or not key:
            raise WrongSetting(where="--set", key=option, value="", expected="section.key=value is expected")
        nested: Any = _literal(text)
        for step in reversed(key.split(".")):
            nested = {step: nested}
        values = _merged(values, nested)
    return _Layer(values, lambda path: "--set " + ".".join(map(str, path)))


def _literal(text: str) -> object:
    """A TOML value, or the text itself where it is none: ``--set node.ae_title=FIRST`` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _line_of(text: str, path: tuple[str | int, ...]) -> int:
    """The line on which ``path`` stands in TOML ``text`` (its table's line where the key itself is not to be found)."""
    names = [str(step) for step in path if not isinstance(step, int)]
    wanted_table = next((step for step in path if isinstance(step, int)), 0) + 1
    table, tables_seen, fallback = "", 0, 1
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[{1,2}\s*([^\]]+?)\s*\]", line)
        key = re.match(r"""\s*["']?([\w-]+)["']?\s*=""", line)
        if header:
            table = header[1]
            tables_seen += table == names[0]
            fallback = number if table == names[0] and tables_seen <= wanted_table else fallback
        elif key and key[1] == names[-1] and (table or key[1]) == names[0] and tables_seen in (0, wanted_table):
            return number
    return fallback


def _explain(error: ValidationError, layers: Sequence[_Layer]) -> NodeError:
    first = error.errors()[0]
    path = tuple(first["loc"])
    layer = next((layer for layer in reversed(layers) if layer.has(path)), None)
    if layer is None:  # a key that is missing: its table is there
        layer = next((layer for layer in reversed(layers) if layer.has(path[:-1])), layers[0])
    where, key = layer.place(path), ".".join(map(str, path))
    if first["type"] == "extra_forbidden":
        return UnknownSetting(where=where, key=key, remedy=_known(_section_of(path)))
    value = "(missing)" if first["type"] == "missing" else first["input"]
    return WrongSetting(where=where, key=key, value=value, expected=first["msg"].removeprefix("Value error, "))


def _section_of(path: tuple[str | int, ...]) -> type[BaseModel]:
    if len(path) == 1:
        return Settings
    if path[0] == "destinations":
        return Destination
    section = Settings.model_fields[str(path[0])].annotation
    return section if isinstance(section, type) and issubclass(section, BaseModel) else Settings


def _known(section: type[BaseModel]) -> str:
    return "Known here: " + ", ".join(sorted(section.model_fields)) + "."


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``below`` with the values of ``above`` laid over it, table by table."""
    merged = dict(below)
    for key, value in above.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both_tables else value
    return merged
