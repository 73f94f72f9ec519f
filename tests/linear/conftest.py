"""The fixtures of the wire tests; pytest.ini adds the quick client of the crash tests."""

pytest_plugins = ["wire_fixtures"]
