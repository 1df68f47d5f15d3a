"""The vendor bundle: what is wrong with a NIC, as a report and captures."""
