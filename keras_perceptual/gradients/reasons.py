"""Why a gradient counts as missing, in the words of the report."""

# The gradient itself is missing: nothing connects the variable to the loss.
NONE = "no path from the loss"
# No optimizer was ever given a gradient for the variable.
NOT_HANDED = "never given to an optimizer"
# The step can give it to an optimizer, but did not in the checked batches.
NOT_RUN = "its optimizer did not run"
# The optimizer was built for the variables of another model.
STRANGER = "unknown to the optimizer"
# The backend would not start to compute gradients at all.
CUT_LOSS = "the loss has no gradient"
