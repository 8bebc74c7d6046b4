"""Why no connection came about: the network, a proxy, or the certificates it is checked with.

requests takes proxies and certificates from the environment. A user who set them once, or for whom an
administrator did, has to be told the variable: what lies behind it was never the server's fault.
"""

from __future__ import annotations

import os
import urllib.parse
from typing import TYPE_CHECKING

from stylegan_swap.errors import DownloadError

if TYPE_CHECKING:
    from stylegan_swap.weights.download.transfer import Job

#: Variables that requests reads certificates from, in its order.
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


def connection_error(job: Job, url: str, error: OSError) -> DownloadError | None:
    """The error of a request that got no answer; None where the address itself is to blame.

    Args:
        job: what was to be fetched.
        url: that was asked for.
        error: what requests raised; of the class OSError itself where a file of certificates is missing.
    """
    import requests.exceptions as raised

    host, proxy = urllib.parse.urlsplit(url).netloc, proxy_variable(url)
    # The proxy's address may hold a password: it is never shown.
    if isinstance(error, raised.InvalidProxyURL) or (proxy and _is_malformed(os.environ[proxy])):
        name = proxy or "the system"
        return job.error(
            f"the proxy's address in {name} is malformed", f"set {name} to one such as http://proxy:3128"
        )
    if isinstance(error, raised.InvalidSchema) and "SOCKS" in str(error):
        return job.error(f"{proxy or 'the system'} names a SOCKS proxy", "run pip install pysocks")
    if isinstance(error, raised.ProxyError):
        name = proxy or "the system"
        return job.later(
            f"the proxy of {name} refuses to lead to {host} ({cause(error)})", f"check {name} and "
        )
    certificates = next((name for name in CERTIFICATES if os.environ.get(name)), None)
    if isinstance(error, raised.SSLError) and "certificate" in str(error).lower():
        checked = f"the certificates in {certificates}" if certificates else "this computer's date"
        return job.later(f"no connection to {host} that is safe ({cause(error)})", f"check {checked} and ")
    if isinstance(error, raised.ConnectionError | raised.Timeout):
        return job.later(f"no connection to {host} ({cause(error)})", "check the network and ")
    if isinstance(error, raised.RequestException):
        return None
    if certificates:
        return job.error(
            f"{certificates}={os.environ[certificates]} names no file of certificates",
            f"correct the variable {certificates} or take it away",
        )
    return job.error(
        f"no connection to {host} ({cause(error)})", "install certifi again (pip install certifi)"
    )


def proxy_variable(url: str) -> str | None:
    """The variable that names the proxy for an address; None without any, or where NO_PROXY excepts it."""
    from requests.utils import get_environ_proxies

    scheme = urllib.parse.urlsplit(url).scheme
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    if not get_environ_proxies(url):
        return None
    return next((name for name in names if os.environ.get(name)), None)


def cause(error: BaseException) -> str:
    """The end of what requests and urllib3 wrap around it: "[Errno 111] Connection refused"."""
    return " ".join(str(error).split()).rpartition(": ")[2].strip("()'\"")[:200] or type(error).__name__


def _is_malformed(address: str) -> bool:
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    try:
        parts = parse_url(address if "://" in address else f"http://{address}")
    except LocationParseError:
        return True
    return not parts.host or parts.scheme not in _PROXY_SCHEMES
