"""What the relay writes about itself holds no value of a request."""

from __future__ import annotations

import logging

import pytest

from tertulia_relay.log import OperatorFormatter, describe_fault, report_loop_fault

CANARY = "canary-51c0"


def fail():
    try:
        {}[CANARY]
    except KeyError as error:
        raise ValueError(CANARY) from error


@pytest.fixture
def fault():
    try:
        fail()
    except ValueError as error:
        return error


def test_a_fault_is_its_types_and_places(fault):
    text = describe_fault(fault)
    assert CANARY not in text
    assert "builtins.ValueError at " in text
    assert "; after builtins.KeyError at " in text
    assert "test_log.py:" in text


def test_our_records_keep_their_text_and_lose_the_values_of_faults(fault):
    record = logging.LogRecord(
        "tertulia_relay.http.server", logging.ERROR, "", 0, "a request failed", (), (type(fault), fault, None)
    )
    text = OperatorFormatter().format(record)
    assert text.startswith("error: a request failed (builtins.ValueError at ")
    assert CANARY not in text
    assert "\n" not in text


@pytest.mark.parametrize("name", ["sqlalchemy.engine", "asyncio", "tertulia_relayed"])
def test_records_of_others_keep_only_their_origin(name):
    record = logging.LogRecord(name, logging.ERROR, "", 0, "got %s", (CANARY,), None)
    assert OperatorFormatter().format(record) == f"error: a message of {name} was left out"


def test_the_event_loop_shows_no_peer(fault, caplog):
    report_loop_fault(None, {"message": CANARY, "exception": fault, "transport": CANARY})
    report_loop_fault(None, {"message": CANARY})
    assert len(caplog.records) == 2
    assert all(CANARY not in record.getMessage() for record in caplog.records)
