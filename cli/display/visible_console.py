"""Rich's console with untrusted escape sequences made visible; rich adds its own afterwards."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from cli.display.output import visible


class VisibleConsole(Console):
    """Writes every text through `cli.display.output.visible`."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as `Console` does; control segments come from rich and contain no untrusted text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
