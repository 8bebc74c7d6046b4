"""What follows the network: detail, contrast and texture in the attribute photo's world."""
