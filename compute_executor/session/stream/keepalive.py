"""What a stream needs now and then: acknowledgements, a sign of life, another try where there was no room.

No clock: time is passed in. Owner: the session's I/O thread.
"""

from __future__ import annotations

from compute_executor.session.stream.protocol import StreamProtocol
from compute_executor.session.stream.websocket import StreamLost, WebSocketStream

ACK_PAUSE = 0.05
"""Seconds between acknowledgements: each wakes the service once more, and all they do is free its memory."""

PING_PAUSE = 20.0
"""Seconds of silence after which the peer is asked whether it lives; after as many again it counts as gone
(the default of the websockets package)."""

NO_ROOM_PAUSE = 0.25
"""Seconds until a batch is offered again to a service that had no room for it."""


class Keepalive:
    """``grace``: seconds until batches that find no room end with the service's error."""

    def __init__(self, dialogue: StreamProtocol, grace: float) -> None:
        self._dialogue = dialogue
        self._grace = grace
        self._acknowledged = 0.0
        self._pinged = 0.0
        self._offered = 0.0
        self._full_since: float | None = None

    def pause(self) -> float:
        """Seconds after which there may be something to do."""
        if self._dialogue.owes_acknowledgement:
            return ACK_PAUSE
        return NO_ROOM_PAUSE if self._dialogue.postponed else PING_PAUSE

    def work(self, stream: WebSocketStream, now: float) -> None:
        """Do what is due. Raises StreamLost if the peer has been silent for too long."""
        if self._dialogue.owes_acknowledgement and now >= self._acknowledged + ACK_PAUSE:
            self._acknowledged = now
            self._dialogue.acknowledge()
        if self._dialogue.postponed:
            self._offer_again(now)
        if now >= max(stream.heard, self._pinged) + PING_PAUSE:
            self._ask_for_life(stream, now)

    def _ask_for_life(self, stream: WebSocketStream, now: float) -> None:
        if self._pinged > stream.heard:
            raise StreamLost(f"the service has been silent for {now - stream.heard:.0f} s")
        self._pinged = now
        stream.ping()

    def _offer_again(self, now: float) -> None:
        if self._dialogue.no_room is None or self._full_since is None:  # it accepted something since
            self._full_since = now
        if self._dialogue.no_room is not None and now >= self._full_since + self._grace:
            self._dialogue.give_up_postponed(self._dialogue.no_room)
        elif now >= self._offered + NO_ROOM_PAUSE:
            self._offered = now
            self._dialogue.retry_postponed()
