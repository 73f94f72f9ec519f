"""The fixtures of the wire tests, for the tests that run whole clients."""

pytest_plugins = ["wire_fixtures"]
