"""What a person is told about a circle that cannot go on."""

from __future__ import annotations

import pytest

from tertulia.alarms import ALARMS, alarm_of, check_no_alarm
from tertulia.errors import exit_code
from tertulia.states import READING, SENDING, WRITABLE, State


@pytest.mark.parametrize("state", ALARMS)
def test_a_circle_that_cannot_go_on_says_why(state):
    with pytest.raises(ALARMS[state]) as caught:
        check_no_alarm(state)
    assert exit_code(caught.value) == (8 if state is State.REMOVED else 3)
    assert caught.value.next


@pytest.mark.parametrize("state", sorted(WRITABLE | SENDING))
def test_a_circle_that_goes_on_is_not_spoken_of(state):
    check_no_alarm(state)
    assert alarm_of(state) is None


def test_every_state_that_stays_read_only_is_told():
    silent = {State.NONE, State.REQUESTED, State.SUCCEEDED, State.WIPED}
    assert set(State) - WRITABLE - silent == set(ALARMS)
    assert set(ALARMS) >= READING - WRITABLE
