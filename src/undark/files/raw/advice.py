"""What messages about RAW files tell the user to do."""

from __future__ import annotations

AGAIN = "copy it from the camera's card again"
