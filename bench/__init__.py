"""The benchmarks of `scripts/bench`: vxqual compared with the tools people use. Not shipped.

`kinds.py` lists the benchmarks by kind. A kind is a function that yields rows (`rows.py`). The
table, the JSON and docs/performance.md are made from rows alone (`report.py`, `page.py`). To add a
kind, write such a function, state in each row what limits the figure, and list the function in
`kinds.py`.

- `verify.py`, `kernel.py`, `live.py`, `generator.py`, `softnic.py`, `cells.py`, `pairs.py`: kinds.
- `setting.py`: rounds, interleaving, inputs: the argument of a kind's function.
- `processes.py`: runs a command as a process and measures its CPU time, wall time and memory.
- `frames.py`: the frames and capture files that serve as input.
"""
