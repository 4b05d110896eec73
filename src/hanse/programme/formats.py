"""Whether numbers and addresses of a form can be what they say: their form and check digits, not whether they exist.

Whether a VAT number is in force is asked of VIES, by a person or the service's operator; nothing here opens a network.
"""

from __future__ import annotations

import re

from stdnum.exceptions import ValidationError
from stdnum.util import get_cc_module

from hanse.programme import countries

PREFIX = {"GR": "EL"}
"""Greece writes its VAT numbers with EL."""
PIC = re.compile(r"[0-9]{9}")
"""Nine digits, as the EU's funding and tenders portal gives them."""
EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


def vat(number: str, country: str) -> str:
    """The number as it is written down: country's letters, digits, no spaces.

    Raises:
        ValueError: it cannot be a VAT number of `country`; the message says why in a sentence.
    """
    letters = PREFIX.get(country, country)
    module = get_cc_module(country.lower(), "vat")
    group = countries.load().group_of(country)
    european = group is not None and group.id == "eu"
    bare = re.sub(r"[\s.-]", "", number).upper()
    if european and not bare.startswith(letters):
        bare = letters + bare if not re.match(r"[A-Z]{2}", bare) else bare
        if not bare.startswith(letters):
            raise ValueError(f"{number} begins with {bare[:2]}; a VAT number of {country} begins with {letters}.")
    if module is None:
        if not re.fullmatch(r"[A-Z0-9]{5,20}", bare):
            raise ValueError(f"{number} cannot be a VAT number: letters and digits only, 5 to 20 of them.")
        return bare
    try:
        kept = str(module.validate(bare))
    except ValidationError as error:
        said = str(error).rstrip(".")
        raise ValueError(f"{number} cannot be a VAT number of {country}: {said[:1].lower()}{said[1:]}.") from None
    return kept if not european or kept.startswith(letters) else letters + kept


def pic(code: str) -> str:
    """The code without spaces. Raises ValueError where it has not nine digits."""
    bare = code.replace(" ", "")
    if not PIC.fullmatch(bare):
        raise ValueError(f"{code} cannot be a PIC: it has nine digits.")
    return bare


def email(address: str) -> str:
    """The address. Raises ValueError where nothing could be sent to it."""
    if not EMAIL.fullmatch(address):
        raise ValueError(f"{address} cannot be an e-mail address.")
    return address
