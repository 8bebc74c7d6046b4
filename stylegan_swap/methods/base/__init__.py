"""What methods share: protocol, base class, memory ladder, finiteness."""
