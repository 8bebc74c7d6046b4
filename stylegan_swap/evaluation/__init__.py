"""How good a method is: benchmark over pairs, tables, reports, FaceForensics++, timing, user study."""
