"""Networks and parts of networks that several systems share."""
