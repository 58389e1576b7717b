"""What rich draws, as HTML in a notebook: no widgets are needed for it."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

WIDTH = 120
SECONDS_BETWEEN_PICTURES = 0.5


def html_of(draw: Callable[[Console], None]) -> str:
    """What is printed to a console, as HTML without scripts; whatever stood in it stands there as characters."""
    console = Console(file=io.StringIO(), record=True, width=WIDTH, force_jupyter=False, force_terminal=False)
    draw(console)
    font = "white-space:pre;overflow-x:auto;line-height:normal;font-family:Menlo,'DejaVu Sans Mono',monospace"
    return console.export_html(inline_styles=True, code_format=f'<pre style="{font}">{{code}}</pre>')


class LiveCell:
    """One picture after the other in the output of the cell that runs, as rich's `Live` has them on a terminal."""

    def __init__(self) -> None:
        self._shown: Any = None
        self._next: RenderableType | None = None
        self._at = 0.0

    def start(self) -> None:
        """Makes room in the cell's output."""
        from IPython.display import HTML, display

        self._shown = display(HTML(""), display_id=True)

    def update(self, picture: RenderableType) -> None:
        """Shows it, unless the one before has just been shown: then with the next, or at the end."""
        self._next = picture
        if time.monotonic() - self._at >= SECONDS_BETWEEN_PICTURES:
            self._show()

    def stop(self) -> None:
        """The last picture stays."""
        self._show()

    def _show(self) -> None:
        from IPython.display import HTML

        if self._shown is not None and (picture := self._next) is not None:
            self._shown.update(HTML(html_of(lambda console: console.print(picture))))
            self._next, self._at = None, time.monotonic()
