"""The fixtures of the wire tests, for the crash tests."""

pytest_plugins = ["wire_fixtures"]
