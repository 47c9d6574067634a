"""Remove from web addresses what only tells publishers where their readers come from.

Such parameters change from poll to poll, so that an address with them would be another article each time.
"""

from __future__ import annotations

from typing import Final

TRACKING_PREFIXES: Final = ("utm_", "mtm_", "pk_", "piwik_", "matomo_", "hsa_", "at_bbc_", "oly_", "vero_", "wt_mc")
"""Beginnings of the names of tracking parameters."""

TRACKING_PARAMETERS: Final = frozenset({
    "fbclid", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "msclkid", "twclid", "ttclid", "yclid", "ysclid",
    "li_fat_id", "igshid", "igsh", "mc_cid", "mc_eid", "_hsenc", "_hsmi", "hsctatracking", "mkt_tok", "s_cid",
    "ref_src", "ref_url", "cmpid", "ocid", "ns_campaign", "ns_mchannel", "ns_source", "ns_linkname", "ns_fee",
    "at_campaign", "at_campaign_type", "at_medium", "at_link_id", "at_link_origin", "at_link_type", "at_format",
    "at_ptr_name", "at_custom1", "at_custom2", "at_custom3", "at_custom4", "wtmc", "xtor", "srsltid", "_ga", "_gl",
    "guccounter", "guce_referrer", "guce_referrer_sig",
})  # fmt: skip
"""Names of further tracking parameters."""


def strip_tracking(address: str) -> str:
    """Return a web address without its tracking parameters; another address is returned unchanged.

    The other parameters keep their order and their form.
    """
    if not is_web_address(address):
        return address
    page, hash_sign, fragment = address.partition("#")
    path, question_mark, query = page.partition("?")
    kept = _without_tracking(query)
    page = path if question_mark and query and not kept else f"{path}{question_mark}{kept}"
    if "=" in fragment:  # some publishers track with parameters after the hash sign
        fragment = _without_tracking(fragment)
    return f"{page}{hash_sign if fragment else ''}{fragment}"


def is_web_address(address: str) -> bool:
    """Return whether an address begins as those of the web do."""
    return address[:8].lower().startswith(("http://", "https://"))


def _without_tracking(query: str) -> str:
    return "&".join(part for part in query.split("&") if not _is_tracking(part.partition("=")[0].lower()))


def _is_tracking(name: str) -> bool:
    return name in TRACKING_PARAMETERS or name.startswith(TRACKING_PREFIXES)
