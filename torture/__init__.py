"""`scripts/torture`: whatever happens to a run, hosts come back and nothing is lost. Not shipped.

Scenarios are in `scenarios.py`. Each is a function that yields one `Trial` for each time that it
was tried, on loopback labs of its own; a trial that does not hold says what did not.

- `lab.py`: a persistent lab, the state of its hosts, and the processes of a run on them.
- `side_by_side.py`: several labs on which trials are made at the same time.
- `runs.py`: the run that is disturbed, and the one that goes on with it afterwards.
- `kills.py`: SIGKILL of the agent, sshd, the soft NIC, a worker and the controller.
- `mishaps.py`: a link that flaps, a host that is gone, a full disk, a clock that is set back.
- `together.py`: two controllers at once; two faulty NICs of the same two hosts side by side.
- `hostile.py`: malicious agents, invented input and markup, by the tests of those, at length.
"""
