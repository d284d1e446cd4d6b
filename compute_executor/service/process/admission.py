"""Who may keep a connection when there are many: a decision, without I/O and without a clock.

Whoever can reach the port can open connections. As long as no valid token came over one, its peer is a stranger.
Strangers get a part of all connections and those of one network a smaller one; the rest is for users, of whom none
can take it all. On one machine strangers and users have one address: so a newcomer is never refused for a stranger's
sake, but the oldest stranger leaves for it. A user shows a token within moments, and is a stranger no more.
"""

from __future__ import annotations

import ipaddress
from collections import Counter

Peer = tuple[str, int]
"""Address and port of the other end: the name of a connection while it is open."""

PER_NETWORK = 256
"""Connections of strangers from one IPv4 address, or one IPv6 network of 64 bits, which is what one machine has."""


class Admission:
    """All open connections, by their peers. ``most``: how many there may be. Belongs to the loop's thread."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.strangers: int = max(1, most // 4)
        """How many may be strangers' at most."""
        self.per_network: int = min(PER_NETWORK, max(1, self.strangers // 2))
        self.per_user: int = max(1, most * 3 // 4)
        self._networks: dict[str, dict[Peer, None]] = {}  # strangers, oldest first
        self._users: dict[Peer, str] = {}
        self._of_user = Counter[str]()
        self._open = 0

    def enter(self, peer: Peer) -> Peer | None:
        """Note a new connection; the one that has to end for it, if any: a stranger, or the newcomer itself (then
        it is not noted)."""
        network = network_of(peer[0])
        leaving = self._for_room(network, peer)
        if leaving is not None:
            self.leave(leaving)
        if leaving != peer:
            self._networks.setdefault(network, {})[peer] = None
            self._open += 1
        return leaving

    def _for_room(self, network: str, newcomer: Peer) -> Peer | None:
        same = self._networks.get(network, {})
        if len(same) >= self.per_network:
            return next(iter(same))
        strangers = self._open - len(self._users)
        if strangers < self.strangers and self._open < self.most:
            return None
        if not strangers:
            return newcomer
        crowded = max(self._networks, key=lambda named: len(self._networks[named]))
        return next(iter(self._networks[crowded]))

    def known(self, peer: Peer, user: str) -> bool:
        """Note that a valid token of ``user`` came over this connection; False if the user has as many others as one
        may have."""
        strangers = self._networks.get(network_of(peer[0]), {})
        if peer not in strangers:
            return True  # it is noted already, or gone
        if self._of_user[user] >= self.per_user:
            return False
        self._forget_stranger(peer)
        self._users[peer] = user
        self._of_user[user] += 1
        return True

    def leave(self, peer: Peer) -> None:
        """Note that a connection has ended. Again: nothing happens."""
        user = self._users.pop(peer, None)
        if user is not None:
            self._of_user -= Counter([user])
            self._open -= 1
        elif peer in self._networks.get(network_of(peer[0]), {}):
            self._forget_stranger(peer)
            self._open -= 1

    def _forget_stranger(self, peer: Peer) -> None:
        network = network_of(peer[0])
        del self._networks[network][peer]
        if not self._networks[network]:
            del self._networks[network]


def network_of(host: str) -> str:
    """Return what the connections of one machine have in common.

    >>> network_of("192.0.2.7"), network_of("2001:db8::1"), network_of("::ffff:192.0.2.7")
    ('192.0.2.7', '2001:db8::', '192.0.2.7')
    """
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
