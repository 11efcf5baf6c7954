import os
import signal

import pytest

from tuning.execution.signals import stop_requests


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_a_request_and_former_handlers_come_back(number: signal.Signals) -> None:
    former = signal.getsignal(number)
    with stop_requests() as requested:
        assert not requested.is_set()
        os.kill(os.getpid(), number)
        assert requested.is_set()
        assert signal.getsignal(number) is former
    assert signal.getsignal(number) is former


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    # A shell starts background jobs with SIGINT ignored; this is about a terminal's.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _interrupt_twice()
    finally:
        signal.signal(signal.SIGINT, former)


def _interrupt_twice() -> None:
    with pytest.raises(KeyboardInterrupt), stop_requests() as requested:
        os.kill(os.getpid(), signal.SIGINT)
        assert requested.is_set()
        os.kill(os.getpid(), signal.SIGINT)
