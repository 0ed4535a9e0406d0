"""Email addresses as mail headers take them."""

from email.errors import MessageError
from email.headerregistry import Address


def parse_address(text: str) -> Address:
    """The address that a text is.

    Raises:
        ValueError: it is none that mail could be sent to.
    """
    try:
        return Address(addr_spec=text)
    except (IndexError, AttributeError, MessageError) as error:
        # The parser of the standard library fails in its own ways on some texts.
        raise ValueError("no address") from error
