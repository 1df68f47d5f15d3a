"""What a DUT made of the frames that it received. Pure."""
