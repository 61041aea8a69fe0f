"""A sweep that is asked to stop finishes the part under way if the rest of it takes no longer than there is time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from sweeps import stopping
from sweeps.stopping import PATIENCE, Stopping


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stopping, "time", clock)
    return clock


@pytest.fixture
def stop() -> Iterator[Stopping]:
    before = {number: signal.getsignal(number) for number in PATIENCE}
    stop = Stopping()
    stop.listen()
    yield stop
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", PATIENCE)
def test_a_part_that_ends_in_time_is_finished(
    number: signal.Signals, clock: Clock, stop: Stopping, capsys: pytest.CaptureFixture[str]
) -> None:
    stop.begins(100)
    clock.now += 10
    stop.goes_on(80)  # the rest will take 2.5 s
    os.kill(os.getpid(), number)
    stop.goes_on(0)
    clock.now += 2
    stop.goes_on(19)
    assert capsys.readouterr().err == "stopping: the part under way is finished first, 2 s or so\n"
    with pytest.raises(KeyboardInterrupt) as stopped:
        stop.begins(100)
    assert stopped.value.args == (number,) and stop.asked == number


@pytest.mark.parametrize("number", PATIENCE)
def test_a_part_that_takes_longer_is_dropped(number: signal.Signals, clock: Clock, stop: Stopping) -> None:
    stop.begins(1000)
    clock.now += 10
    stop.goes_on(10)  # the rest will take 990 s
    os.kill(os.getpid(), number)
    with pytest.raises(KeyboardInterrupt):
        stop.goes_on(0)


def test_a_part_that_stays_behind_its_promise_is_dropped(clock: Clock, stop: Stopping) -> None:
    stop.begins(100)
    clock.now += 100
    stop.goes_on(99)
    os.kill(os.getpid(), signal.SIGTERM)
    stop.goes_on(0)
    clock.now += PATIENCE[signal.SIGTERM]
    with pytest.raises(KeyboardInterrupt):
        stop.goes_on(0)


def test_nothing_is_known_of_a_part_that_has_not_got_anywhere(clock: Clock, stop: Stopping) -> None:
    stop.begins(100)
    os.kill(os.getpid(), signal.SIGUSR2)
    with pytest.raises(KeyboardInterrupt):
        stop.goes_on(0)


def test_a_second_signal_is_not_held_up(stop: Stopping) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    os.kill(os.getpid(), signal.SIGUSR2)
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN, "Slurm warns more than once"


def test_the_clusters_own_handler_gets_the_warning_afterwards() -> None:
    before = {number: signal.getsignal(number) for number in PATIENCE}
    heard: list[int] = []
    try:
        signal.signal(signal.SIGUSR2, lambda number, frame: heard.append(number))
        stop = Stopping()
        stop.listen()
        stop.listen()  # a job that listens already does not take itself for the cluster
        os.kill(os.getpid(), signal.SIGUSR2)
        assert heard == []
        stop.hand_on()
        assert heard == [signal.SIGUSR2]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
