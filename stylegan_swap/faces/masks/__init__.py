"""Which pixels belong to a face: hull, regions, glasses, parsing, soft erosion."""
