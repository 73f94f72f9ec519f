"""The fixtures of the wire tests, for the soak."""

pytest_plugins = ["wire_fixtures"]
