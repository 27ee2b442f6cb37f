"""relay.toml: every mistake is an error that names the key."""

from __future__ import annotations

import pytest

from tertulia_relay.config import (
    Config,
    HttpConfig,
    QuotaConfig,
    join_listen,
    load_config,
    public_uri,
    render_config,
    split_listen,
)
from tertulia_relay.errors import AddressError, ConfigError


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "relay.toml"
        path.write_text(text)
        return path

    return write


def test_a_new_file_holds_what_it_was_made_with(write):
    path = write(render_config(uri="https://relay.example/a", listen="127.0.0.1:1234"))
    assert load_config(path) == Config(uri="https://relay.example/a", listen="127.0.0.1:1234")


def test_the_defaults_in_the_comments_of_a_new_file_are_the_defaults(write):
    text = render_config(uri="", listen="127.0.0.1:8440")
    uncommented = "\n".join(
        line.removeprefix("# ").split("   ")[0]
        for line in text.splitlines()
        if line.startswith(("# [", "# ")) and ("=" in line or "[" in line)
    )
    config = load_config(write(uncommented))
    assert config == Config()
    assert uncommented.count("=") >= 11


def test_an_empty_file_is_all_defaults(write):
    assert load_config(write("")) == Config()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("urri = ''", "urri"),
        ("[http]\nconections = 5", "http.conections"),
        ("[http]\nconnections = '5'", "http.connections"),
        ("[http]\nconnections = 1", "http.connections"),
        ("[http]\nheader_seconds = 0", "http.header_seconds"),
        ("[quota]\nwait_max_s = 51", "quota.wait_max_s"),
        ("[storage]\nmax_mib = -1", "storage.max_mib"),
        ("http = 1", "http"),
        ("uri = 'http://relay.example'", "uri"),
        ("uri = 'https://a@relay.example'", "uri"),
        ("listen = '127.0.0.1'", "listen"),
        ("listen = '127.0.0.1:65536'", "listen"),
        ("uri = ", "the file"),
        ("uri = ''\nuri = ''", "the file"),
    ],
)
def test_a_mistake_names_its_key(write, text, key):
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.values["key"] == key
    assert caught.value.values["path"] == path
    assert key == "the file" or key in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(ConfigError):
        load_config(tmp_path / "relay.toml")


@pytest.mark.parametrize(
    ("text", "parts"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("localhost:65535", ("localhost", 65535))],
)
def test_an_address_splits_and_joins(text, parts):
    assert split_listen(text) == parts
    assert join_listen(*parts) == text


@pytest.mark.parametrize("text", ["", ":", ":80", "a:", "a:-1", "a:b", "a:٣", "a:99999"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(AddressError):
        split_listen(text)


def test_the_public_address_is_the_configured_one_or_where_it_listens():
    assert public_uri(Config(uri="https://relay.example"), "127.0.0.1:1") == "https://relay.example"
    assert public_uri(Config(), "127.0.0.1:1") == "http://127.0.0.1:1"
    with pytest.raises(AddressError):
        public_uri(Config(), "0.0.0.0:1")


def test_quotas_are_stated_as_the_protocol_does():
    limits = QuotaConfig(log_mib=2, wait_max_s=7).limits()
    assert (limits.log_quota_bytes, limits.wait_max_s) == (2 << 20, 7)
    assert QuotaConfig().limits() == type(limits)()


def test_times_allow_the_longest_request_over_a_slow_line():
    http = HttpConfig()
    assert http.body_seconds + 263168 / http.min_bytes_per_second < 60
