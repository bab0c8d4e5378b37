"""Which text file is read, and how to say what is wrong with it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Source:
    """A text file with a color table, as errors speak of it.

    Args:
        name: String, the path.
        format: String, how the names of its files end, such as `"cube"`.
    """

    name: str
    format: str

    @property
    def suffix(self) -> str:
        """How the names of such files end."""
        return f".{self.format}"

    @property
    def reader(self) -> str:
        """The function that reads such files."""
        return f"read_{self.format}"

    def mistake(
        self, number: int, problem: str, line: bytes | None
    ) -> ValueError:
        """Returns the error about one line, `None` where the file ends."""
        found = "the end of the file" if line is None else show(line)
        return ValueError(
            f"{self.reader} stopped in line {number} of {self.name!r}. "
            f"{problem} Received: {found}"
        )


def show(text: bytes) -> str:
    """Returns the beginning of a text, however odd, for a message."""
    more = " ..." if len(text) > 60 else ""
    return repr(text[:60].decode("utf-8", "replace")) + more
