"""The fixtures of the wire tests, for the tests of overload."""

pytest_plugins = ["wire_fixtures"]
