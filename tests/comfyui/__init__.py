"""The pack inside a real ComfyUI server, driven through HTTP."""
