"""``python -m dosremc_node`` is ``dosremc-node``."""

from dosremc_node.cli import main

main()
