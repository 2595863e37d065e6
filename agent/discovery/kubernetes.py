"""Pods of this node, as the Kubernetes API server tells them: what to scrape, and whose GPUs are whose."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from agent.measure.reading import Reason, SourceError
from agent.measure.settings import setting
from agent.wire import address, json_page
from agent.wire.http import Limits
from agent.wire.http_config import Authorization, HttpConfig, TlsConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.wire.http import HttpClient

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""What Kubernetes gives to each pod: who it is, and whom it may trust."""
MAX_BYTES = 32 * 1024 * 1024
"""Of the list of one node's pods."""
MOST_PODS = 1024
TIMEOUT_SECONDS = 10.0
PREFIX = "prometheus.io/"
SOURCE_UID = "kubernetes.io/config.hash"
"""Of a static pod: what its control group is named by."""
REMEDY = "; may its service account list pods (a ClusterRole with get, list on pods)?"


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesSd(HttpConfig):
    """The pods of this node with `prometheus.io/scrape: "true"`; keys of `http_config` are for the API."""

    node: str = setting("", "Name of this node in the cluster; default $NODE_NAME, by the downward API.")
    api_server: str = setting(
        "",
        "Address of the API server; default: that of the cluster in which rackwatt runs, with its account.",
    )

    def __post_init__(self) -> None:
        """Refuse an address that can never be asked for."""
        HttpConfig.__post_init__(self)
        if self.api_server:
            address.require_http(self.api_server, "api_server")


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of this node."""

    uid: str
    namespace: str
    name: str
    url: str = ""
    """Of the page that its annotations tell; empty without."""
    labels: Mapping[str, str] = field(default_factory=dict)


async def pods(client: HttpClient, settings: KubernetesSd) -> tuple[Pod, ...]:
    """Ask for the pods of this node. Raises SourceError."""
    node = settings.node or os.environ.get("NODE_NAME", "")
    if not node:
        text = "the name of this node is not known; set kubernetes.node, or NODE_NAME by the downward API"
        raise SourceError(Reason.UNSUPPORTED, text)
    query = urlencode({"fieldSelector": f"spec.nodeName={node}", "resourceVersion": "0", "limit": MOST_PODS})
    url = f"{_server(settings)}/api/v1/pods?{query}"
    headers = {"Accept": "application/json"}
    try:
        fetched = await client.get(
            url, Limits(TIMEOUT_SECONDS, MAX_BYTES), headers=headers, config=_config(settings)
        )
    except SourceError as error:
        remedy = REMEDY if error.reason is Reason.DENIED else ""
        raise SourceError(error.reason, f"{error.detail}{remedy}") from error
    return pods_of(json_page.parse(fetched.body))


def pods_of(body: Any) -> tuple[Pod, ...]:
    """Read a list of pods. Raises SourceError."""
    try:
        return tuple(pod for item in body["items"][:MOST_PODS] for pod in _pods(item))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SourceError(Reason.MALFORMED, f"the API server sent no list of pods ({error!r})") from error


def _pods(item: Mapping[str, Any]) -> Iterator[Pod]:
    """Yield one pod; a static one twice, since its processes know it by another UID."""
    meta, status = item["metadata"], item.get("status") or {}
    notes = meta.get("annotations") or {}
    url = _url(notes, str(status.get("podIP") or ""), item.get("spec") or {})
    running = status.get("phase") == "Running" and "deletionTimestamp" not in meta
    labels = {str(key): str(value) for key, value in (meta.get("labels") or {}).items()}
    pod = Pod(str(meta["uid"]), str(meta["namespace"]), str(meta["name"]), url if running else "", labels)
    yield pod
    if SOURCE_UID in notes:
        yield Pod(str(notes[SOURCE_UID]), pod.namespace, pod.name)


def _url(notes: Mapping[str, Any], ip: str, spec: Mapping[str, Any]) -> str:
    """Return the address that the usual annotations tell; empty when they ask for no scraping."""
    if str(notes.get(f"{PREFIX}scrape", "")).lower() != "true" or not ip:
        return ""
    ports = [
        port["containerPort"] for each in spec.get("containers") or () for port in each.get("ports") or ()
    ]
    port = str(notes.get(f"{PREFIX}port") or next(iter(ports), ""))
    host = f"[{ip}]" if ":" in ip else ip
    path = str(notes.get(f"{PREFIX}path") or "")
    url = f"{notes.get(f'{PREFIX}scheme') or 'http'}://{host}{f':{port}' if port else ''}"
    url += f"/{path.lstrip('/')}" if path else ""
    try:
        address.require_http(url, "annotations")
    except ValueError:
        return ""  # somebody's typing error must not hide the other pods
    return url


def _server(settings: KubernetesSd) -> str:
    if settings.api_server:
        return settings.api_server.rstrip("/")
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    if not host:
        text = "rackwatt does not run in a cluster; set kubernetes.api_server and how to log in there"
        raise SourceError(Reason.UNSUPPORTED, text)
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _config(settings: KubernetesSd) -> HttpConfig:
    """Return how to log in: as configured, else as the pod that we are."""
    own = (settings.authorization, settings.basic_auth, settings.tls_config)
    if settings.api_server or any(each is not None for each in own):
        return settings
    return HttpConfig(
        authorization=Authorization(credentials_file=str(ACCOUNT / "token")),
        tls_config=TlsConfig(ca_file=str(ACCOUNT / "ca.crt")),
        proxy_url=settings.proxy_url,
    )
