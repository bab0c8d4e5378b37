"""What is said of one cause, and how it is judged."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """One cause.

    Attributes:
        title: What `GradientRecord.reason` says.
        status: The status of the variables: `"missing"`, `"zero"`,
            `"nonfinite"` or `"untracked"`.
        advice: What it means, and what to do.
        heading: What stands over the variables; `""` for the heading of the
            status. `{found}` is replaced by how many variables there are,
            `{batches}` by how many batches.
        mends: Whether advice by operation stands under each place.
        certain: Whether it may be raised; otherwise it is only warned about.
        later: Whether later batches may prove it wrong, so that it is judged
            at the end of the checked batches.
        permanent: Whether no batch can end it. Zeros are then raised about.
        general: Whether it says no more than the status does, so that any
            other cause tells more.
        ordinary: Whether models that are well have such variables, so that
            leaving them out is as likely a mend as any other.
        in_function: The advice where a function is checked rather than a
            training step, or `""` for the same.
        on_backend: Sentences that are added to the advice on one backend, by
            its name.
    """

    title: str
    status: str
    advice: str
    heading: str = ""
    mends: bool = False
    certain: bool = True
    later: bool = False
    permanent: bool = False
    general: bool = False
    ordinary: bool = False
    in_function: str = ""
    on_backend: Mapping[str, str] = dataclasses.field(
        default_factory=dict, hash=False
    )
