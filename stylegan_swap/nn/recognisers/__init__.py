"""Recognisers of faces behind one protocol: dlib's ResNet and ArcFace IR-SE50."""
