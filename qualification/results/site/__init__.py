"""The lab's site: what is known of every NIC, from the runs that are stored, as static pages."""
