"""What a run holds on its hosts from its first look at them to its end: the leases on its NICs."""

from __future__ import annotations

import logging
from contextlib import ExitStack

from qualification.errors import HostLeftChangedError

_LOG = logging.getLogger("vxqual.run")


class Leases(ExitStack):
    """The agents that hold the leases, to be entered as contexts."""

    def give_back(self) -> list[str]:
        """Ends the agents; returns what hosts are left changed by. A second call does nothing."""
        try:
            self.close()
        except HostLeftChangedError as error:
            _LOG.error("%s", error)
            return [str(error)]
        return []
