"""People judge swaps: build a study, serve it on a page, analyse the answers (``docs/study.md``).

An answer goes from ``build`` (pictures and ``study.json``, see ``manifest``) through ``plan`` (what one rater
sees) and ``server`` into ``answers`` (the log); ``analysis`` and ``preference`` evaluate the log.
"""
