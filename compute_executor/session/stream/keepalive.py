"""What a stream needs from time to time: acknowledgements, pings, and the next offer of a batch that found no room.

No clock: time is passed in. Owner: the session's I/O thread.
"""

from __future__ import annotations

from compute_executor.session.stream.protocol import StreamProtocol
from compute_executor.session.stream.websocket import StreamLost, WebSocketStream
from compute_executor.settings import NO_ROOM_PAUSE

ACK_PAUSE = 0.05
"""Seconds between acknowledgements: each wakes the service once more, and all they do is free its memory."""

PING_PAUSE = 20.0
"""Seconds of silence after which the client pings the service; after as many again the stream counts as lost
(the default of the websockets package)."""


class Keepalive:
    """Timer of one session's stream. ``grace``: seconds until batches that find no room end with the service's error;
    ``no_room_pause``: seconds between two offers of such a batch."""

    def __init__(
        self, protocol: StreamProtocol, grace: float, *, no_room_pause: float = NO_ROOM_PAUSE
    ) -> None:
        self._protocol = protocol
        self._grace = grace
        self._no_room_pause = no_room_pause
        self._acknowledged = 0.0
        self._pinged = 0.0
        self._offered = 0.0
        self._full_since: float | None = None

    def pause(self) -> float:
        """Return the seconds after which there may be something to do."""
        if self._protocol.owes_acknowledgement:
            return ACK_PAUSE
        return self._no_room_pause if self._protocol.postponed else PING_PAUSE

    def work(self, stream: WebSocketStream, now: float) -> None:
        """Do what is due. Raises StreamLost if the peer has been silent for too long."""
        if self._protocol.owes_acknowledgement and now >= self._acknowledged + ACK_PAUSE:
            self._acknowledged = now
            self._protocol.acknowledge()
        if self._protocol.postponed:
            self._offer_again(now)
        if now >= max(stream.last_received, self._pinged) + PING_PAUSE:
            self._ping(stream, now)

    def _ping(self, stream: WebSocketStream, now: float) -> None:
        if self._pinged > stream.last_received:
            raise StreamLost(f"the service has been silent for {now - stream.last_received:.0f} s")
        self._pinged = now
        stream.ping()

    def _offer_again(self, now: float) -> None:
        if self._protocol.refusal is None or self._full_since is None:  # it accepted something since
            self._full_since = now
        if self._protocol.refusal is not None and now >= self._full_since + self._grace:
            self._protocol.give_up_postponed(self._protocol.refusal)
        elif now >= self._offered + self._no_room_pause:
            self._offered = now
            self._protocol.retry_postponed()
