"""Published files of the field: which belong together, how they are read and written."""
