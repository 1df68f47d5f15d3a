"""The group of the commands that write a file to begin from, and what they share."""

from __future__ import annotations

import click

from ..root import codes, main

INIT_CODES = codes(c0="the file is written", c4="it exists already, or cannot be written")
force_option = click.option("--force", is_flag=True, help="Overwrite a file that exists.")


@main.group()
def init() -> None:
    """Write files to begin from, with comments that explain them.

    Nothing is overwritten unless --force says so. The usual way, with hardware and without:

    \b
      vxqual init topology       two hosts that you have: asks, looks at them over SSH, writes
      vxqual init lab            examples; loopback.yaml runs on this machine alone
      vxqual init policy         what `vxqual gate` demands of a NIC
      vxqual init expectations   failures that are known, with a reason and a last day
      vxqual init nightly        a job that qualifies a lab every night, for a CI or systemd
    """  # noqa: D301  (\b is a backspace, by which click keeps the lines)
