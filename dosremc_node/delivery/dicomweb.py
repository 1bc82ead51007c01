"""Sending documents by STOW-RS (DICOMweb, PS3.18 10.5): each in a request of its own, each instance's status read from the answer.

Nothing is negotiated before: a document goes as the first SOP class that the destination is to have, and as the next where the service
says that it does not support that one (0x0122).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from io import BytesIO
from typing import Any, Final

import pydicom
import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from dosremc_node.delivery.rules import Rendition, Sendable, not_accepted
from dosremc_node.delivery.sop_classes import candidates
from dosremc_node.delivery.statuses import DELIVERED, DUPLICATE_SOP_INSTANCE, REFUSED, RETRY, outcome_of, words_of
from dosremc_node.errors import PeerRefused, PeerUnreachable, SecretMissing, TlsUnusable
from dosremc_node.peers import tls_context
from dosremc_node.records import DeliveryResult
from dosremc_node.settings import Destination, DicomWeb

SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
TRIED_AGAIN: Final = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
        HTTPStatus.INSUFFICIENT_STORAGE,
    }
)
"""HTTP statuses after which the same request may succeed; any other failure is for a person to look at (PS3.18 Table 10.5.3-1)."""
WITH_AN_ANSWER: Final = frozenset({HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT})
"""Statuses whose body says what became of each instance: all, some or none were stored."""
_JSON: Final = "application/dicom+json"
_UNREADABLE: Final = (ValueError, TypeError, KeyError, AttributeError, SyntaxError)
"""What the libraries raise over an answer that is no data set, in JSON or in XML (of which a parse error is a `SyntaxError`)."""


def store(peer: Destination, documents: Sequence[Sendable], rendition: Rendition) -> Iterator[DeliveryResult]:
    """Store ``documents`` one by one and yield what the service answers to each; as `sending.send` in all else."""
    for document in documents:
        yield _stored_as_accepted(peer, document, rendition)


def reach(peer: Destination) -> None:
    """Ask the service for one study (QIDO-RS). Raises `PeerUnreachable`, `PeerRefused`, `SecretMissing` or `TlsUnusable`."""
    with _session(peer) as session:
        try:
            _client(peer, session).search_for_studies(limit=1)
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            raise PeerRefused(peer=peer.name, why=_http_words(status)) from None
        except requests.RequestException as error:
            raise _unreachable(peer, error) from None


def _stored_as_accepted(peer: Destination, document: Sendable, rendition: Rendition) -> DeliveryResult:
    for sop_class in candidates(document.sop_class_uid, peer.structured_reports):
        sent = document if sop_class == document.sop_class_uid else rendition(document, sop_class)
        result = _stored(peer, sent)
        if result.status != SOP_CLASS_NOT_SUPPORTED:
            return result
        document = sent
    return not_accepted(peer, document)


def _stored(peer: Destination, document: Sendable) -> DeliveryResult:
    try:
        with _session(peer) as session:
            return _post(peer, session, document)
    except (SecretMissing, TlsUnusable) as error:
        return DeliveryResult(document.sop_instance_uid, REFUSED, None, str(error))
    except requests.RequestException as error:
        return DeliveryResult(document.sop_instance_uid, RETRY, None, str(_unreachable(peer, error)))


def _post(peer: Destination, session: requests.Session, document: Sendable) -> DeliveryResult:
    answers: list[requests.Response] = []
    session.hooks["response"].append(lambda response, **_: answers.append(response))
    client, dataset = _client(peer, session), pydicom.dcmread(BytesIO(document.content))
    try:
        answer = client.store_instances([dataset])
    except (requests.HTTPError, *_UNREADABLE):
        if not answers:  # nothing was sent
            raise
        answer = Dataset()
    # The client reads neither an answer with an HTTP error, nor one whose media type has a parameter.
    answer = answer or _read(answers[-1])
    result = _status_of(answer, answers[-1].status_code, document)
    if result.status == DUPLICATE_SOP_INSTANCE and _has(client, dataset):
        return DeliveryResult(
            result.sop_instance_uid, DELIVERED, result.status, f"{result.comment}. Asked by QIDO-RS, it has the document."
        )
    return result


def _read(response: requests.Response) -> Dataset:
    """What an answer says of the instances; nothing where it says nothing that can be read."""
    try:
        return Dataset.from_json(response.json()) if "json" in response.headers.get("Content-Type", "") else Dataset()
    except _UNREADABLE:
        return Dataset()


def _status_of(answer: Dataset, http_status: int, document: Sendable) -> DeliveryResult:
    uid = document.sop_instance_uid
    for item in answer.get("FailedSOPSequence") or ():
        if item.get("ReferencedSOPInstanceUID") == uid:
            reason = int(item.get("FailureReason") or 0x0110)
            outcome = outcome_of(reason)
            return DeliveryResult(
                uid, RETRY if outcome is DELIVERED else outcome, reason, f"{words_of(reason)}, {_http_words(http_status)}"
            )
    if http_status not in WITH_AN_ANSWER:
        return DeliveryResult(uid, RETRY if http_status in TRIED_AGAIN else REFUSED, None, _http_words(http_status))
    for item in answer.get("ReferencedSOPSequence") or ():
        if item.get("ReferencedSOPInstanceUID") == uid:
            warning = int(item.get("WarningReason") or 0)
            return DeliveryResult(uid, DELIVERED, warning, words_of(warning))
    return DeliveryResult(uid, RETRY, None, f"{_http_words(http_status)}, without a word on this document.")


def _has(client: DICOMwebClient, dataset: Dataset) -> bool:
    """Whether the service says it has this very instance: one that does not know the filter names the others of the series, too."""
    uids, uid = (str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID)), str(dataset.SOPInstanceUID)
    try:
        found = client.search_for_instances(*uids, search_filters={"SOPInstanceUID": uid})
        return any(Dataset.from_json(each).get("SOPInstanceUID") == uid for each in found)
    except (requests.RequestException, *_UNREADABLE):
        return False


def _http_words(status: int) -> str:
    known = {each.value: each.phrase for each in HTTPStatus}
    return f"HTTP status {status} ({known.get(status, 'unknown')})"


def _unreachable(peer: Destination, error: requests.RequestException) -> PeerUnreachable:
    """The library's own words may quote a request; its kind says enough."""
    return PeerUnreachable(
        peer=peer.name,
        host=_web(peer).url,
        port="DICOMweb",
        ae_title="none",
        why=f"{type(error).__name__} within {peer.timeout_seconds:g} s",
    )


# --- The session ------------------------------------------------------------------------------------------------------


class _Tls(HTTPAdapter):
    """HTTPS as the destination's tls settings have it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the library's signature
        super().init_poolmanager(
            *args, ssl_context=self._context, assert_hostname=None if self._context.check_hostname else False, **kwargs
        )

    def cert_verify(self, conn: Any, url: str, verify: object, cert: object) -> None:  # noqa: ANN401
        """Nothing to add: the context knows whom to trust."""


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _session(peer: Destination) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no password from ~/.netrc, no proxy that the settings do not know of
    session.max_redirects = 0  # no document for a host that the settings do not name
    session.headers["Accept"] = _JSON
    session.auth = _authorization(peer)
    if context := tls_context(peer):
        session.mount("https://", _Tls(context))
    return session


def _authorization(peer: Destination) -> AuthBase | None:
    web = _web(peer)
    if web.token_variable:
        return _Bearer(_secret(peer, web.token_variable))
    return HTTPBasicAuth(web.user, _secret(peer, web.password_variable)) if web.user else None


def _secret(peer: Destination, variable: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise SecretMissing(peer=peer.name, variable=variable or "(none is named)")
    return value


def _client(peer: Destination, session: requests.Session) -> DICOMwebClient:
    client = DICOMwebClient(_web(peer).url.rstrip("/"), session=session, timeout=peer.timeout_seconds)
    client.set_http_retry_params(retry=False)  # the ledger knows when to try again
    return client


def _web(peer: Destination) -> DicomWeb:
    if peer.dicomweb is None:
        raise ValueError("a destination without a dicomweb table")
    return peer.dicomweb
