"""Root credentials: made at the first start, printed once, kept with mode 0600; overridden by settings; rotated."""

import re
import stat

import botocore.exceptions
import pytest

from ingot import STORE, run_ingot

pytestmark = pytest.mark.skipif(STORE == "memory", reason="a store in memory keeps no credentials")


def printed_keys(text):
    return re.search(r"access key  (\S+)\n  secret key  (\S+)\n", text).groups()


@pytest.mark.smoke
def test_first_start_makes_them_second_says_less(start_server):
    s = start_server(own_keys=True)
    first = s.output()
    access, secret = printed_keys(first)
    assert re.fullmatch(r"INGOT[A-Z2-7]{15}", access) and re.fullmatch(r"[A-Za-z0-9]{40}", secret)
    for words in ("aws --endpoint-url " + s.endpoint, "boto3.client(", "rclone config create"):
        assert words in first
    path = s.data / "credentials"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.count(secret) == 4  # the pair, and three clients' lines
    s3 = s.client(access, secret)
    s3.create_bucket(Bucket="mine")
    s.restart()
    second = s.output()[s.output().rindex("Ingot 0."):]
    assert secret not in second and access not in second
    assert f"serves {s.data} on {s.endpoint}" in second
    assert [b["Name"] for b in s.client(access, secret).list_buckets()["Buckets"]] == ["mine"]


def test_two_first_starts_make_different_ones(start_server):
    a, b = start_server(own_keys=True), start_server(own_keys=True)
    assert not set(printed_keys(a.output())) & set(printed_keys(b.output()))


def test_settings_override_and_make_no_file(start_server):
    s = start_server()
    assert not (s.data / "credentials").exists()
    assert s.secret_key not in s.output()
    s.client().list_buckets()


def test_keys_shows_where_and_rotates(start_server):
    s = start_server(own_keys=True)
    access, secret = printed_keys(s.output())
    s.client(access, secret).create_bucket(Bucket="kept")
    shown = run_ingot("keys", f"--data={s.data}")
    assert shown.returncode == 0 and str(s.data / "credentials") in shown.stdout
    assert access in shown.stdout and secret not in shown.stdout
    assert secret in run_ingot("keys", f"--data={s.data}", "--show").stdout
    fresh = printed_keys(run_ingot("keys", f"--data={s.data}", "--rotate").stdout)
    assert fresh[0] != access and fresh[1] != secret
    assert stat.S_IMODE((s.data / "credentials").stat().st_mode) == 0o600
    s.restart()
    with pytest.raises(botocore.exceptions.ClientError) as e:
        s.client(access, secret).list_buckets()
    assert e.value.response["Error"]["Code"] == "InvalidAccessKeyId"
    # The account is the same: what it owned it still owns.
    assert [b["Name"] for b in s.client(*fresh).list_buckets()["Buckets"]] == ["kept"]


def test_keys_without_any_and_with_keys_of_settings(tmp_path):
    done = run_ingot("keys", f"--data={tmp_path}")
    assert (done.returncode, done.stderr) == (
        3, f"ingot: {tmp_path}/credentials does not exist yet; the first start of the server makes it\n")
    env = {"INGOT_ACCESS_KEY": "AKOWN", "INGOT_SECRET_KEY": "own-secret-key"}
    done = run_ingot("keys", f"--data={tmp_path}", env=env)
    assert done.returncode == 0 and "INGOT_ACCESS_KEY" in done.stdout and "own-secret" not in done.stdout
    assert run_ingot("keys", f"--data={tmp_path}", "--rotate", env=env).returncode == 3


def test_a_broken_file_is_refused_not_replaced(start_server, tmp_path):
    (tmp_path / "credentials").write_text("access-key = only\n")
    done = run_ingot("server", f"--data={tmp_path}", "--listen=127.0.0.1:0")
    assert done.returncode == 3
    assert f"{tmp_path}/credentials has no access-key and secret-key lines" in done.stderr
    assert (tmp_path / "credentials").read_text() == "access-key = only\n"


def test_further_accounts_for_test_suites(start_server, tmp_path):
    accounts = tmp_path / "accounts.json"
    accounts.write_text('[{"access-key": "AKALT", "secret-key": "alt-secret-key", "canonical-id": "' + "ab" * 32 +
                        '", "display-name": "alt", "account": "000000000002"}]')
    s = start_server(test_accounts=accounts)
    alt = s.client("AKALT", "alt-secret-key")
    alt.create_bucket(Bucket="of-alt")
    s.client().create_bucket(Bucket="of-root")
    answer = alt.list_buckets()
    assert [b["Name"] for b in answer["Buckets"]] == ["of-alt"]
    assert answer["Owner"]["ID"] == "ab" * 32
    accounts.write_text('[{"access-key": "AKALT"}]')
    done = run_ingot("server", f"--data={tmp_path}/d", "--listen=127.0.0.1:0", f"--test-accounts={accounts}")
    assert done.returncode == 3 and "account 1: secret-key must have" in done.stderr
