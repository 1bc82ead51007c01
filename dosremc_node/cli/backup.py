"""``backup`` and ``restore``: everything that cannot be made again, and a node made again from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dosremc_node.backup import back_up
from dosremc_node.backup import restore as restore_from
from dosremc_node.cli.common import ConfigOption, SetOption, actor, output, read_settings


def register(app: typer.Typer) -> None:
    app.command()(backup)
    app.command()(restore)


def backup(
    out: Annotated[Path, typer.Argument(help="A folder, best on another machine; what is there already is not copied again.")],
    *,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Save ledger, engine, artifacts, releases and configuration while the node runs. Example: dosremc-node backup /mnt/backup/dosremc"""
    made = back_up(read_settings(config, options), out, config)
    output.print(
        f"{made.folder}: {made.artifacts} artifacts, {', '.join(made.databases) or 'no database'}", highlight=False, soft_wrap=True
    )
    if not made.databases:
        output.print("PostgreSQL is backed up by pg_dump, before this command: see deploy/README.md", highlight=False)


def restore(
    out: Annotated[Path, typer.Argument(help="The folder that `backup` was given; its newest backup is taken.")],
    *,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Make a node again from its newest backup; refuses where there is a ledger. Example: dosremc-node restore /mnt/backup/dosremc"""
    made = restore_from(read_settings(config, options), out, actor())
    output.print(
        f"restored the node of {made.made_at:%Y-%m-%d %H:%M:%S} UTC: start it, then have sent again what came later", highlight=False
    )
