"""What every pytest run from this checkout shares."""

pytest_plugins = ["pytester"]
