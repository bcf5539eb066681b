"""The pack in a real ComfyUI in a real Chromium. Minutes long: ``make browser-test``, or ``pytest -m browser``."""
