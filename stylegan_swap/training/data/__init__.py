"""Photographs on their way into training: folders, crops, packs, augmentation, pairs, morphs."""
