"""People judge swaps: build a study, serve it on a page, analyse the answers (``docs/study.md``).

The road of an answer: ``build`` (pictures and ``study.json``) → ``plan`` (what one rater sees) →
``server`` and ``page`` → ``answers`` (the log) → ``screening`` → ``preference`` or ``opinion`` → ``report``.
"""
