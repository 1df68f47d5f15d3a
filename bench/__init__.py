"""What `scripts/bench` runs: vxqual beside what people use, measured side by side. Not shipped.

`kinds.py` lists what is measured. A kind is a function that yields rows (`rows.py`), and rows are
all that the table, the JSON and docs/performance.md are made of (`report.py`, `page.py`). To add
one: write such a function, with a sentence in each row on what limits the figure, and list it.

- `verify.py`, `kernel.py`, `live.py`, `generator.py`, `softnic.py`, `cells.py`, `pairs.py`: kinds.
- `setting.py`: rounds, interleaving, inputs; what a kind's function is given.
- `processes.py`: a command as a whole process, with its CPU time, wall time and memory.
- `frames.py`: the frames and capture files that are measured with.
"""
