"""The relay's directory: a key that is never replaced and that nobody else can read."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from tertulia_relay.directory import RelayDirectory
from tertulia_relay.errors import (
    AlreadyRunningError,
    ExistsError,
    KeyFileError,
    MissingDirectoryError,
    OwnerError,
    PermissionsError,
)

SEED = bytes(range(32))


@pytest.fixture
def home(tmp_path):
    directory = RelayDirectory(tmp_path / "relay")
    directory.create()
    return directory


def test_directory_and_key_are_private_and_the_key_reads_back(home):
    old = os.umask(0)
    try:
        home.write_key(SEED)
    finally:
        os.umask(old)
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.key.stat().st_mode) == 0o600
    assert home.load_key().seed == SEED


def test_a_key_is_never_overwritten(home):
    home.write_key(SEED)
    with pytest.raises(ExistsError):
        home.write_key(bytes(32))
    with pytest.raises(ExistsError):
        home.create()
    assert home.load_key().seed == SEED


def test_a_key_is_not_written_through_a_link(home, tmp_path):
    home.key.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExistsError):
        home.create()
    with pytest.raises(ExistsError):
        home.write_key(SEED)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o602])
def test_a_key_that_others_can_reach_is_refused(home, mode):
    home.write_key(SEED)
    home.key.chmod(mode)
    with pytest.raises(PermissionsError):
        home.load_key()


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33, "zz" * 32, "ü" * 32])
def test_what_is_no_key_is_refused(home, text):
    home.key.write_text(text)
    home.key.chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        home.load_key()
    assert not text or text not in str(caught.value)


def test_a_missing_key_is_refused(home):
    with pytest.raises(KeyFileError):
        home.load_key()


def test_a_directory_that_others_can_enter_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    with pytest.raises(PermissionsError):
        RelayDirectory(tmp_path / "open").create()


def test_an_empty_directory_that_is_there_is_used(tmp_path):
    (tmp_path / "volume").mkdir(mode=0o700)
    RelayDirectory(tmp_path / "volume").create()


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExistsError):
        RelayDirectory(tmp_path / "file").create()


def test_a_directory_without_a_relay_is_refused(tmp_path):
    with pytest.raises(MissingDirectoryError):
        RelayDirectory(tmp_path).check_exists()


def test_another_user_is_told_to_change_user(home, monkeypatch):
    home.check_owner()
    monkeypatch.setattr(os, "geteuid", lambda: home.path.stat().st_uid + 1)
    with pytest.raises(OwnerError):
        home.check_owner()


def test_one_process_holds_the_lock_and_loses_it_when_it_dies(home):
    program = "import sys; from pathlib import Path; from tertulia_relay.directory import RelayDirectory\n"
    program += "with RelayDirectory(Path(sys.argv[1])).locked(): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(home.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunningError), home.locked():
            pass
        other.kill()
    with home.locked():
        pass


def test_the_address_is_there_while_the_relay_runs(home):
    assert home.listening_address() is None
    with home.listening("127.0.0.1:5"):
        assert home.listening_address() == "127.0.0.1:5"
        assert stat.S_IMODE(home.listen.stat().st_mode) == 0o600
    assert home.listening_address() is None


def test_a_failed_start_leaves_nothing(home):
    home.write_key(SEED)
    home.config.write_text("")
    home.database.write_text("")
    home.remove_files()
    assert list(home.path.iterdir()) == []
