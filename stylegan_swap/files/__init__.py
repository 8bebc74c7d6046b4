"""Files on disk: atomic writing, locks, the cache folder, safe paths, the memory allocator."""
