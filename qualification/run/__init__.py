"""A run under pytest: the controller's part, the workers' part, and what precedes them."""

import logging

# Only a run writes a log: `check` and `selftest` report what matters themselves.
logging.getLogger("vxqual").addHandler(logging.NullHandler())
