"""How long things take, on the machine that it runs on: ``make bench``. Each bench is a file with one function, `run`.

A comparison is made in pairs on the same machine, ours and the peer's in turn; its ratio is the median of the pairs' ratios, and above 1
where we are better. Ask for a quiet machine: what else runs there is measured too.
"""
