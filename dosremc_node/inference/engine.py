"""The sessions that are in use, by content: a new release that changes thresholds only goes on with the same session."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dosremc_node.errors import BankDoesNotFit
from dosremc_node.inference.moments import measure_moments
from dosremc_node.inference.providers import choose_providers
from dosremc_node.inference.sessions import Session, build_session
from dosremc_node.records import BankId, BatchNormMoments, Domain, NetworkInput, NetworkOutput, Release
from dosremc_node.settings import Provider

_Key = tuple[str, str, bool, float | None]


class Weights(Protocol):
    """Where an engine gets a release's weights from, once it needs them."""

    @property
    def release(self) -> Release: ...

    def backbone(self) -> bytes: ...

    def bank(self, domain: Domain) -> Mapping[str, NDArray[np.float32]]: ...


class InferenceEngine:
    """Scores images with whichever bank a revision has pinned. Safe across threads.

    A session is built when it is first needed, beside the others: images go on being scored with those meanwhile. Of more than
    ``sessions_at_most`` the one that was used longest ago is dropped. Raises `ProviderNotThere` for ``providers`` that are not.
    """

    def __init__(self, threads: int = 0, providers: Sequence[Provider] = (), sessions_at_most: int = 8) -> None:
        self._threads = threads
        self._providers = choose_providers(providers)
        self._sessions_at_most = sessions_at_most
        self._sessions: OrderedDict[_Key, Session] = OrderedDict()
        self._access = Lock()
        self._building = Lock()

    def score(self, weights: Weights, bank: BankId, network_input: NetworkInput) -> NetworkOutput:
        """Score one image with the bank that its revision has pinned; raises `BankDoesNotFit`, `ScoreNotFinite`."""
        return self.session(weights, bank).score(network_input)

    def session(self, weights: Weights, bank: BankId) -> Session:
        """The session of that bank, built where there is none yet: ask for it early to warm it up."""
        release = weights.release
        _check_bank(release, bank)
        key = (release.backbone_sha256, bank.sha256, release.allows_tf32, release.half_precision_tolerance)
        if session := self._known(key):
            return session
        with self._building:
            return self._known(key) or self._build(key, weights, bank.domain)

    def moments(self, weights: Weights, bank: BankId, network_input: NetworkInput) -> BatchNormMoments:
        """What goes into each batch norm when that bank scores the image; raises `BankDoesNotFit`. It takes several times as long as a score."""
        _check_bank(weights.release, bank)
        return measure_moments(weights.backbone(), bank.domain, weights.bank(bank.domain), network_input, self._threads)

    def _known(self, key: _Key) -> Session | None:
        with self._access:
            if key in self._sessions:
                self._sessions.move_to_end(key)
            return self._sessions.get(key)

    def _build(self, key: _Key, weights: Weights, domain: Domain) -> Session:
        release, on_processor = weights.release, self._providers[0] is Provider.CPU
        session = build_session(
            weights.backbone(),
            domain,
            weights.bank(domain),
            self._threads,
            self._providers,
            tf32=release.allows_tf32,
            # A processor gains nothing by it.
            half_precision_tolerance=None if on_processor else release.half_precision_tolerance,
        )
        with self._access:
            self._sessions[key] = session
            while len(self._sessions) > self._sessions_at_most:
                self._sessions.popitem(last=False)
        return session


def _check_bank(release: Release, bank: BankId) -> None:
    if release.banks.get(bank.domain) != bank:
        raise BankDoesNotFit(domain=bank.domain, why=f"release {release.release_id} has no bank {bank}")
